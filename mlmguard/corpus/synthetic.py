"""The embedded corpus: public text that every CPython carries, and private notes that we invent.

The notes are written from ``templates.py`` and filled by Faker under a fixed seed. Nobody in them
exists: e-mail addresses end in ``example.com``, telephone numbers are 555-01xx. What was filled in where
is kept beside as :class:`Gold`, so a detector can be measured against the truth.
"""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mlmguard.artifacts import replacing, write_text
from mlmguard.corpus.templates import (
    AREA_CODES,
    COLOUR,
    COPY_REMARKS,
    DATE_SHAPES,
    ENTITY_OF,
    KINDS,
    PHONE_SHAPES,
    SECRET_SENTENCES,
    WORD_SWAPS,
)
from mlmguard.types import Document

SEED = 20261120
AUTHORS = 400
EXACT_COPIES = 0.03
NEAR_COPIES = 0.04
CROSSING = 0.15  # copies filed by another author; more would chain all authors into one cluster

SECRETS = {2: 24, 5: 12, 12: 6, 30: 3}
"""How often a secret occurs -> how many secrets occur that often, in a corpus of 4,000 notes."""


@dataclass(frozen=True)
class Gold:
    """One value that was filled in: the truth a detector is measured against."""

    document_id: str
    start: int
    end: int
    rule: str


# --- public text --------------------------------------------------------------------------------------


def public_documents() -> list[Document]:
    """CPython's own help topics, one document a topic: English that belongs to everybody."""
    from pydoc_data.topics import topics

    return [Document(id=f"pydoc/{name}", text=topics[name], source="pydoc") for name in sorted(topics)]


# --- filling ------------------------------------------------------------------------------------------

_SLOT = re.compile(r"\{(\w+)\}")


class _Writer:
    """Fills templates; all chance comes from one seed."""

    def __init__(self, seed: int) -> None:
        from faker import Faker

        self.random = random.Random(seed)
        self.fake = Faker("en_US")
        self.fake.seed_instance(seed)
        self.makers: dict[str, Callable[[], str]] = {
            "NAME": self.name,
            "OTHER": self.name,
            "EMAIL": lambda: self.email(self.name()),
            "PHONE": self.phone,
            "CARD": self.card,
            "SSN": self.fake.ssn,
            "IBAN": self.fake.iban,
            "IP": self.fake.ipv4_public,
            "DATE": lambda: self.date(2019, 2026),
            "DOB": lambda: self.date(1931, 2010),
            "MRN": lambda: str(self.random.randrange(1_000_000, 10_000_000)),
            "STREET": lambda: self.fake.street_address(),
            "CITY": self.fake.city,
            "STATEZIP": lambda: f"{self.state()} {self.fake.zipcode()}",
            "CODE": lambda: f"{self.random.randrange(100_000, 1_000_000)}",
        }

    def name(self) -> str:
        return f"{self.fake.first_name()} {self.fake.last_name()}"

    def state(self) -> str:
        abbreviation: str = self.fake.state_abbr(
            include_territories=False, include_freely_associated_states=False
        )
        return abbreviation

    def email(self, name: str) -> str:
        first, last = name.lower().split(" ", 1)
        local = self.random.choice(
            (f"{first}.{last}", f"{first[0]}{last}", f"{first}{self.random.randrange(100)}")
        )
        host = self.random.choice(("example.com", "example.org", "mail.example.org", "example.net"))
        return f"{local.replace(' ', '')}@{host}"

    def phone(self) -> str:
        shape = self.random.choice(PHONE_SHAPES)
        n, x = self.random.randrange(100), self.random.randrange(10, 1000)
        return shape.format(a=self.random.choice(AREA_CODES), n=f"{n:02}", x=x)

    def card(self) -> str:
        number: str = self.fake.credit_card_number("visa16" if self.random.random() < 0.6 else "mastercard")
        if self.random.random() < 0.5:
            return " ".join(number[i : i + 4] for i in range(0, len(number), 4))
        return number

    def date(self, first: int, last: int) -> str:
        from datetime import date, timedelta

        day = date(first, 1, 1) + timedelta(days=self.random.randrange((last - first) * 365))
        return day.strftime(self.random.choice(DATE_SHAPES))

    def fill(self, template: str, own: dict[str, str]) -> tuple[str, list[tuple[int, int, str]]]:
        """Return the sentence and its personal spans; ``own`` holds what stays the same within one note."""
        text, spans, at = "", [], 0
        for slot in _SLOT.finditer(template):
            text += template[at : slot.start()]
            at = slot.end()
            name = slot.group(1)
            if name == "amount":
                text += f"${self.random.randrange(4, 900)}.{self.random.randrange(100):02}"
                continue
            if name in COLOUR:
                text += own.get(name) or self.random.choice(COLOUR[name])
                continue
            value = own.get(name) or self.makers[name]()
            spans.append((len(text), len(text) + len(value), ENTITY_OF[name]))
            text += value
        return text + template[at:], spans

    def note(
        self, secret: str | None, secret_values: dict[str, str]
    ) -> tuple[str, str, list[tuple[int, int, str]]]:
        """(kind, text, spans) of one note of about 35 to 90 words."""
        kind = self.random.choice(list(KINDS))
        openers, bodies, closers = KINDS[kind]
        customer = self.name()
        own = {
            "NAME": customer,
            "EMAIL": self.email(customer),
            "MRN": self.makers["MRN"](),
            "DOB": self.makers["DOB"](),
        }
        own |= {
            name: self.random.choice(COLOUR[name]) for name in ("symptom", "drug", "product", "condition")
        }
        wanted = self.random.randrange(2, 5)
        plan = [(self.random.choice(openers), own)]
        plan += [(body, own) for body in self.random.sample(bodies, wanted)]
        if secret is not None:
            plan.insert(self.random.randrange(1, len(plan) + 1), (secret, secret_values))
        plan.append((self.random.choice(closers), own))
        text, spans = "", []
        for template, values in plan:
            sentence, found = self.fill(template, values)
            if text and len(f"{text} {sentence}".split()) > 84:
                continue
            start = len(text) + 1 if text else 0
            text = f"{text} {sentence}" if text else sentence
            spans += [(start + a, start + b, rule) for a, b, rule in found]
        return kind, text, spans


def private_documents(notes: int = 4000, seed: int = SEED) -> tuple[list[Document], list[Gold]]:
    """Invented customer-service and clinic notes, and what was filled in where.

    About 3 % are exact and 4 % near copies of earlier notes (``metadata["copy"]``, ``["copy_of"]``), some
    sentences with a secret occur in 2, 5, 12 and 30 notes (``metadata["secret"]``), and ``AUTHORS`` staff
    members wrote them (``metadata["author"]``).
    """
    writer = _Writer(seed)
    chance = writer.random
    originals = notes - round(notes * EXACT_COPIES) - round(notes * NEAR_COPIES)
    planted = _plan_secrets(writer, originals, scale=notes / 4000)
    authors = max(2, min(AUTHORS, notes // 4))

    texts: list[tuple[str, list[tuple[int, int, str]], dict[str, str]]] = []
    for index in range(originals):
        template, values, name = planted.get(index, (None, {}, ""))
        kind, text, spans = writer.note(template, values)
        metadata = {"author": f"staff-{chance.randrange(authors):04}", "kind": kind}
        texts.append((text, spans, metadata | ({"secret": name} if name else {})))

    order = list(range(originals))
    near = round(notes * NEAR_COPIES)
    long_enough = [i for i in order if len(texts[i][0].split()) >= 50]
    copies = [(i, "near") for i in chance.choices(long_enough or order, k=near)]
    copies += [(i, "exact") for i in chance.choices(order, k=notes - originals - near)]
    for original, how in copies:
        text, spans, metadata = texts[original]
        metadata = metadata | {"copy": how, "copy_of": _note_id(original)}
        if chance.random() < CROSSING:
            metadata["author"] = f"staff-{chance.randrange(authors):04}"
        if how == "near":
            text, spans = _near_copy(chance, text, spans)
        texts.append((text, spans, metadata))

    documents, gold = [], []
    for index, (text, spans, metadata) in enumerate(texts):
        documents.append(Document(id=_note_id(index), text=text, source="notes", metadata=metadata))
        gold += [Gold(_note_id(index), start, end, rule) for start, end, rule in spans]
    return documents, gold


def _note_id(index: int) -> str:
    return f"note-{index:05}"


def _plan_secrets(
    writer: _Writer, originals: int, scale: float
) -> dict[int, tuple[str, dict[str, str], str]]:
    """Which note carries which secret: note index -> (sentence, its value, a name for the secret)."""
    places = list(range(originals))
    writer.random.shuffle(places)
    plan = {}
    for times, many in SECRETS.items():
        for number in range(max(1, round(many * scale))):
            template, slot = SECRET_SENTENCES[number % len(SECRET_SENTENCES)]
            value = {slot: writer.makers[slot]()}
            for _ in range(times):
                if places:
                    plan[places.pop()] = (template, value, f"secret-{times}x-{number}")
    return plan


def _near_copy(
    chance: random.Random, text: str, spans: list[tuple[int, int, str]]
) -> tuple[str, list[tuple[int, int, str]]]:
    """``text`` with a remark added in front or behind, or one word changed: five-word shingles stay alike."""
    if chance.random() < 0.5:
        words = [
            m
            for m in re.finditer(r"[a-z]+", text)
            if m.group() in WORD_SWAPS and _is_free(m.start(), m.end(), spans)
        ]
        if words:
            word = chance.choice(words)
            new = WORD_SWAPS[word.group()]
            text = text[: word.start()] + new + text[word.end() :]
            return text, _shifted(spans, word.start(), len(new) - len(word.group()))
    remark = chance.choice(COPY_REMARKS)
    if chance.random() < 0.5:
        return f"{text} {remark}", spans
    return f"{remark} {text}", _shifted(spans, 0, len(remark) + 1)


def _is_free(start: int, end: int, spans: list[tuple[int, int, str]]) -> bool:
    return all(end <= a or b <= start for a, b, _ in spans)


def _shifted(spans: list[tuple[int, int, str]], at: int, by: int) -> list[tuple[int, int, str]]:
    return [(a + by, b + by, rule) if a >= at else (a, b, rule) for a, b, rule in spans]


# --- as files -----------------------------------------------------------------------------------------


def write_corpus(folder: Path, gold: Path | None = None, notes: int = 4000, seed: int = SEED) -> None:
    """Write the private notes as a corpus of many formats, and the truth about it to ``gold`` (JSONL).

    Most notes are rows of JSONL files; the last ones are spread over every other format that ``readers``
    knows. Ids in ``gold`` are those the readers give. ``gold`` must lie outside ``folder``.
    """
    documents, truth = private_documents(notes, seed)
    spans: dict[str, list[Gold]] = {}
    for item in truth:
        spans.setdefault(item.document_id, []).append(item)
    lines: list[str] = []

    def tell(document: Document, reader_id: str) -> None:
        for item in spans.get(document.id, []):
            lines.append(json.dumps(asdict(replace(item, document_id=reader_id))) + "\n")

    others = min(32, notes // 4)
    rows, rest = documents[: notes - others], documents[notes - others :]
    size = -(-len(rows) // 4)
    for part in range(4):
        name = f"notes/notes-{part}.jsonl"
        chunk = rows[part * size : (part + 1) * size]
        for document in chunk:
            tell(document, f"{name}#{document.id}")
        write_text(folder / name, _as_jsonl(chunk))

    for number, document in enumerate(rest):
        suffix = (".txt", ".md", ".rst", ".txt.gz", ".eml", ".html", "csv", "jsonl.gz")[number % 8]
        name = f"letters/{document.id}{suffix}"
        if suffix in (".txt", ".md", ".rst"):
            write_text(folder / name, document.text)
            tell(document, name)
        elif suffix == ".txt.gz":
            _write_gzip(folder / name, document.text)
            tell(document, name)
        elif suffix == ".eml":
            write_text(folder / name, _as_mail(document))
            tell(document, name)
        elif suffix == ".html":
            write_text(folder / name, f"<!doctype html><title></title><p>{html.escape(document.text)}</p>\n")
            tell(document, name)

    tables = [d for n, d in enumerate(rest) if n % 8 == 6]
    packed = [d for n, d in enumerate(rest) if n % 8 == 7]
    if tables:
        write_text(folder / "tables/export.csv", _as_csv(tables))
        for document in tables:
            tell(document, f"tables/export.csv#{document.id}")
    if packed:
        _write_gzip(folder / "tables/archive.jsonl.gz", _as_jsonl(packed))
        for document in packed:
            tell(document, f"tables/archive.jsonl.gz#{document.id}")
    if gold is not None:
        write_text(gold, "".join(lines))


def _as_jsonl(documents: Iterable[Document]) -> str:
    rows = ({"id": d.id, "text": d.text, "author": d.metadata["author"]} for d in documents)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_csv(documents: Iterable[Document]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "text", "author"))
    writer.writerows((d.id, d.text, d.metadata["author"]) for d in documents)
    return table.getvalue()


def _as_mail(document: Document) -> str:
    """A mail with the document as its body, which is what ``readers`` makes of it by default."""
    headers = f"Subject: note\nFrom: {document.metadata['author']}@example.org\nTo: archive@example.org\n"
    technical = (
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
    )
    return f"{headers}{technical}\n{document.text}"


def _write_gzip(path: Path, text: str) -> None:
    with replacing(path) as stream:
        stream.write(gzip.compress(text.encode(), mtime=0))
