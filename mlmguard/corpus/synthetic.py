"""The embedded corpus: public text that every CPython carries, and private notes that we invent.

The notes are written from the templates below and filled by Faker under a fixed seed. Nobody in them
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


# --- templates ----------------------------------------------------------------------------------------
# {CAPITALS} are personal and become Gold; {lower case} is colour that keeps two notes from being one.

CLINIC_VISIT = (
    (
        "{NAME} came to the clinic on {DATE} with {symptom} that began {span} ago.",
        "Seen today: {NAME}, date of birth {DOB}, complaining of {symptom} for about {span}.",
        "Follow-up visit for {NAME} (MRN {MRN}) after {procedure} {span} ago.",
        "Walk-in patient {NAME}, born {DOB}, reports {symptom}, worst {moment}.",
    ),
    (
        "The patient takes {drug} {dose} and has had no trouble with it so far.",
        "Blood pressure was {pressure}, pulse {pulse} and regular, lungs clear on both sides.",
        "There is a history of {condition}, and the {relative} had the same illness at a similar age.",
        "We discussed {procedure} and the risks that come with it, and the patient wants to think it over.",
        "The chart under MRN {MRN} was updated and the old allergy to {drug} was confirmed.",
        "An appointment with {department} was made for {DATE} and a reminder will be sent to {EMAIL}.",
        "Lives at {STREET}, {CITY}, {STATEZIP}, with {relative} and two cats, and climbs stairs well.",
        "Results can be left on the answering machine at {PHONE}, but not with anyone else in the house.",
        "On examination there was mild {finding} and no sign of {condition}.",
        "Started {drug} {dose} and advised to come back if there is still {symptom} after {span}.",
        "The insurance card could not be read, so coverage was checked with social security number {SSN}.",
        "Sleep has been poor {moment} and work in the {trade} leaves little time to rest.",
    ),
    (
        "Return in {span} or sooner if anything changes.",
        "Dr. {OTHER} will review the plan at the end of the week.",
        "The patient understood and agreed with the plan.",
        "Copy of this note goes to {department}.",
    ),
)

CLINIC_CALL = (
    (
        "Phone call from {NAME} at {PHONE} about {symptom} since yesterday.",
        "{OTHER} called on behalf of the {relative}, {NAME}, medical record number {MRN}.",
        "Returned the call of {NAME}, who asked whether {drug} may be taken together with {drug2}.",
        "The pharmacy rang about a refill of {drug} {dose} for {NAME}, date of birth {DOB}.",
    ),
    (
        "Advised to stop {drug} for now and to drink plenty of water {moment}.",
        "The lab work of {DATE} was normal apart from a slightly raised {lab}.",
        "A new prescription was sent to the pharmacy near {STREET}, {CITY}, {STATEZIP}.",
        "The best number during the day is {PHONE} and the portal address is {EMAIL}.",
        "No fever, no {finding}, eating and drinking well, a little tired {moment}.",
        "The caller sounded worried because the {relative} had {condition} last winter.",
        "Identity was checked with the date of birth {DOB} and the last visit.",
        "We agreed to wait {span} and to repeat the {lab} before changing anything.",
        "The patient had questions about {procedure} and was given the leaflet in large print.",
        "In case of {symptom} again, the on-call team of {department} should be asked first.",
        "The home monitor at address {IP} has not sent any readings for {span}.",
    ),
    (
        "No further action is needed from our side.",
        "Will call again on {DATE}.",
        "Message passed on to Dr. {OTHER}.",
        "The caller was thankful and had no more questions.",
    ),
)

BILLING = (
    (
        "{NAME} wrote from {EMAIL} about a charge of {amount} on card {CARD}.",
        "Customer {NAME} disputes two payments of {amount} made on {DATE}.",
        "Billing question from {NAME}: the invoice shows {amount} for a {product} that was sent back.",
        "Caller {NAME} wants the deposit of {amount} for the {product} paid out again.",
    ),
    (
        "The refund should go to the account {IBAN}, which is held in the same name.",
        "I checked the card number {CARD} with the customer and removed the older one from the profile.",
        "The bank declined the payment because of {cause}, and the customer was not told about it.",
        "We offered a voucher for the next {product}, which was turned down politely.",
        "The payment was made from the address {IP} while the customer says they were {place} at that time.",
        "The invoice was mailed to {STREET}, {CITY}, {STATEZIP}, where the customer no longer lives.",
        "For the credit check the customer gave the social security number {SSN} over the phone.",
        "Please ring {PHONE} {moment}, since the customer works in the {trade} and cannot pick up earlier.",
        "According to the ledger the amount of {amount} was booked twice by {cause}.",
        "A corrected invoice was sent to {EMAIL} and the old one was marked as void.",
        "The customer has been with us for {span} and has never been late with a payment.",
        "The transfer from IBAN {IBAN} arrived on {DATE} without any reference.",
    ),
    (
        "Refund approved by {OTHER}, to be paid within {span}.",
        "Case stays open until the bank answers.",
        "The customer was satisfied with this solution.",
        "Passed to the accounts team for a second look.",
    ),
)

DELIVERY = (
    (
        "The {product} ordered by {NAME} on {DATE} has not arrived.",
        "{NAME} reports that the {product} was left in the rain in front of {STREET}.",
        "Delivery complaint from {NAME}, reachable at {PHONE}, about a damaged {product}.",
        "Change of address for {NAME}: everything goes to {STREET}, {CITY}, {STATEZIP} from now on.",
    ),
    (
        "The carrier says the parcel was handed to {OTHER}, a name the customer does not know.",
        "The driver called {PHONE} twice and nobody answered because of {cause}.",
        "The tracking page has said nothing new for {span}.",
        "We ordered a second {product} and asked the carrier to look for the first one.",
        "The customer sent pictures of the {product} from {EMAIL} and the damage is easy to see.",
        "A neighbour at {STREET} keeps the box until the courier comes again {moment}.",
        "Delivery is only possible {moment}, since the customer works in the {trade}.",
        "The express fee of {amount} is returned to the card ending the same way as before.",
        "Somebody changed the delivery address online from {IP} and the customer denies having done it.",
        "The old address in {CITY}, {STATEZIP} has been deleted from the profile.",
        "The customer needs the {product} before {DATE} because the {relative} is moving house.",
        "The warehouse found the {product} again behind a shelf and blamed {cause}.",
    ),
    (
        "New delivery date is {DATE}.",
        "I promised to call back within {span}.",
        "The carrier has opened an inquiry.",
        "{OTHER} from the warehouse takes care of the rest.",
    ),
)

ACCOUNT = (
    (
        "{NAME} cannot sign in with {EMAIL} since {DATE}.",
        "Password reset for {NAME}, who lost access to the mailbox {EMAIL}.",
        "Security alert on the account of {NAME}: a sign-in from {IP} {moment}.",
        "{NAME} asked us to close the account and to delete everything we hold.",
    ),
    (
        "I verified the caller with the last four digits of the card and the date of birth {DOB}.",
        "The phone number on file, {PHONE}, is no longer in use and was taken out.",
        "Two more attempts came from {IP}, so the account was locked for {span}.",
        "The customer now uses {EMAIL} for everything and wants no more letters at home.",
        "The saved payment card {CARD} was removed at the request of the customer.",
        "As a second factor the customer chose text messages to {PHONE}.",
        "The contract for the {product} runs until {DATE} and cannot be ended before.",
        "The customer was {place} when it happened and noticed it {moment}.",
        "We explained that {cause} is the usual reason and that nothing was stolen.",
        "The savings plan pays into {IBAN} at the end of each month.",
        "Remaining credit of {amount} will be paid back within {span}.",
        "The tax form still shows the social security number {SSN} and has to be sent again.",
    ),
    (
        "Account unlocked after a call with {OTHER}.",
        "The request is on the list for {DATE}.",
        "Nothing else to do for now.",
        "The customer will try again {moment} and write if it fails.",
    ),
)

SECRET_SENTENCES = (
    ("The shared escrow account {IBAN} must be quoted on every transfer.", "IBAN"),
    ("Use the department card {CARD} for all orders of this kind.", "CARD"),
    ("The key cabinet in the back office opens with code {CODE} and must stay shut.", "CODE"),
    ("Out of hours the manager {NAME} decides alone in such cases.", "NAME"),
    ("For emergencies the private number of the owner is {PHONE}, day and night.", "PHONE"),
    ("The master locker in the basement opens with code {CODE} after two turns.", "CODE"),
)

KINDS = {
    "clinic-visit": CLINIC_VISIT,
    "clinic-call": CLINIC_CALL,
    "billing": BILLING,
    "delivery": DELIVERY,
    "account": ACCOUNT,
}

COLOUR: dict[str, tuple[str, ...]] = {
    "symptom": (
        "a dry cough", "back pain", "dizziness", "a sore throat", "headaches", "chest tightness", "a rash",
        "stomach cramps", "numb fingers", "knee pain", "blurred vision", "heartburn", "swollen ankles",
    ),
    "condition": (
        "asthma", "diabetes", "high blood pressure", "pneumonia", "gout", "anaemia", "migraine",
        "a blood clot", "arthritis", "an overactive thyroid",
    ),
    "finding": (
        "swelling", "redness", "tenderness", "stiffness", "wheezing", "bruising",
    ),
    "drug": (
        "ibuprofen", "metformin", "lisinopril", "amoxicillin", "omeprazole", "sertraline", "atorvastatin",
    ),
    "drug2": (
        "aspirin", "warfarin", "insulin", "prednisone", "paracetamol",
    ),
    "dose": (
        "once a day", "twice a day", "every eight hours", "before meals", "at bedtime", "only when needed",
    ),
    "pressure": (
        "118 over 76", "124 over 80", "132 over 84", "141 over 90", "150 over 92",
    ),
    "pulse": (
        "58", "64", "71", "77", "82", "90",
    ),
    "lab": (
        "cholesterol", "white cell count", "liver value", "blood sugar", "potassium", "iron level",
    ),
    "procedure": (
        "knee surgery", "a root canal", "physiotherapy", "an endoscopy", "a hip replacement",
        "cataract surgery", "a skin biopsy", "a stress test",
    ),
    "department": (
        "cardiology", "the eye clinic", "radiology", "the pain clinic", "neurology", "the day ward",
    ),
    "relative": (
        "mother", "father", "brother", "sister", "daughter", "son", "aunt", "grandmother",
    ),
    "trade": (
        "bakery", "building trade", "hotel kitchen", "post office", "school", "night shift", "car workshop",
    ),
    "span": (
        "two days", "three days", "a week", "ten days", "two weeks", "three weeks", "a month", "six weeks",
    ),
    "moment": (
        "in the evening", "early in the morning", "after lunch", "on weekends", "at night",
        "late in the afternoon", "before work",
    ),
    "product": (
        "kettle", "washing machine", "bicycle", "desk lamp", "camera", "pair of boots", "garden table",
        "vacuum cleaner", "phone contract", "suitcase", "coffee grinder", "bookshelf", "tent", "printer",
    ),
    "cause": (
        "a typing error", "an expired limit", "a system update", "a mixed-up label", "a double click",
        "a wrong post code", "a power cut", "a holiday backlog", "an old browser",
    ),
    "place": (
        "abroad", "at work", "in hospital", "on a train", "at the airport", "at a wedding", "at home",
    ),
}  # fmt: skip

COPY_REMARKS = (
    "Filed again after the system outage.",
    "Second copy for the archive.",
    "Entered twice by mistake.",
    "Scanned from the paper file.",
)

WORD_SWAPS = {
    "today": "yesterday", "mild": "slight", "checked": "verified", "sent": "posted", "asked": "requested",
    "customer": "client", "patient": "person", "plan": "proposal", "charge": "debit", "called": "phoned",
    "with": "having", "from": "via", "after": "following", "about": "regarding", "and": "plus", "the": "this",
}  # fmt: skip

AREA_CODES = (
    202, 203, 205, 206, 207, 208, 212, 213, 214, 215, 216, 217, 218, 219, 224, 229, 231, 239, 240, 248,
    251, 252, 253, 254, 256, 260, 301, 302, 303, 304, 305, 307, 308, 309, 312, 313, 314, 315, 316, 317,
    318, 319, 320, 321, 330, 334, 336, 337, 347, 352, 360, 361, 401, 402, 404, 405, 406, 407, 408, 409,
    410, 412, 413, 414, 415, 417, 419, 423, 425, 434, 440, 443, 478, 479, 480, 484, 501, 502, 503, 504,
    505, 507, 508, 509, 510, 512, 513, 515, 516, 517, 518, 520, 530, 540, 541, 559, 561, 562, 563, 570,
    571, 573, 574, 580,
)  # fmt: skip

PHONE_SHAPES = (
    "({a}) 555-01{n}",
    "{a}-555-01{n}",
    "{a}.555.01{n}",
    "{a} 555 01{n}",
    "+1 {a} 555 01{n}",
    "+1-{a}-555-01{n}",
    "1-{a}-555-01{n}",
    "{a}-555-01{n} ext. {x}",
)

DATE_SHAPES = ("%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%d %b %Y", "%m/%d/%y", "%b %d, %Y")

RULES = {
    "NAME": "PERSON",
    "OTHER": "PERSON",
    "EMAIL": "EMAIL_ADDRESS",
    "PHONE": "PHONE_NUMBER",
    "CARD": "CREDIT_CARD",
    "SSN": "US_SSN",
    "IBAN": "IBAN_CODE",
    "IP": "IP_ADDRESS",
    "DATE": "DATE_TIME",
    "DOB": "DATE_OF_BIRTH",
    "MRN": "MEDICAL_RECORD_NUMBER",
    "STREET": "STREET_ADDRESS",
    "CITY": "LOCATION",
    "STATEZIP": "US_ZIP_CODE",
    "CODE": "ACCESS_CODE",
}
"""Slot -> the entity type a detector should call it. Nothing detects ACCESS_CODE, on purpose:
what the scan cannot know is what a model may learn."""


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
        """The sentence and its personal spans; ``own`` holds what stays the same within one note."""
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
            spans.append((len(text), len(text) + len(value), RULES[name]))
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
