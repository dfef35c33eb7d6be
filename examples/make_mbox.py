"""Write a mailbox of invented mails: something to follow the tutorial with, before it is your own.

python make_mbox.py corpus/inbox.mbox [mails]
"""

from __future__ import annotations

import mailbox
import sys
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

from mlmguard.corpus.synthetic import private_documents

target, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1500
target.parent.mkdir(parents=True, exist_ok=True)
with closing(mailbox.mbox(target)) as box:
    for number, document in enumerate(private_documents(count)[0]):
        mail = EmailMessage()
        mail["From"], mail["To"] = "ward@clinic.example", "records@clinic.example"
        mail["Subject"], mail["Message-ID"] = "Note of the day", f"<{number}@clinic.example>"
        mail["Date"] = "Mon, 02 Nov 2026 09:00:00 +0000"
        mail.set_content(document.text)
        box.add(mail)
sys.stdout.write(f"{count} invented mails in {target}\n")
