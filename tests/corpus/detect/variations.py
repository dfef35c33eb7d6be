# ruff: noqa: E501, E731 (a table of shapes is read across)
"""Text as forms, exports, mails, tables and logs hold it: invented values in drawn shapes, by kind.

Written before the detectors were mended, so that what they pass is a kind and no example. A variation is a text
and what must be found in it: (entity type, value); nothing where the text must stay as it is. All is drawn from a
seed, which the server changes with every run (``MLMGUARD_VARIATIONS``).
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlmguard.corpus.detect.check_digits import luhn, rest_97

Expected = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Variation:
    """A text and what is personal in it."""

    text: str
    expected: Expected


Chance = random.Random

# --- values -------------------------------------------------------------------------------------------


def digits(draw: Chance, count: int) -> str:
    return str(draw.randrange(1, 10)) + "".join(draw.choice(string.digits) for _ in range(count - 1))


def ssn(draw: Chance) -> str:
    area = draw.choice([n for n in range(120, 660) if n != 123])
    return f"{area}-{draw.randrange(10, 99)}-{draw.randrange(1000, 9999)}"


def card(draw: Chance, between: str = "") -> str:
    body = draw.choice(("4539", "4716", "5412", "5105")) + digits(draw, 11)
    whole = next(body + d for d in string.digits if luhn(body + d))
    return between.join(whole[i : i + 4] for i in range(0, 16, 4))


def iban(draw: Chance, between: str = "") -> str:
    rest = digits(draw, 18)
    whole = f"DE{98 - rest_97('DE00' + rest):02}{rest}"
    return between.join(whole[i : i + 4] for i in range(0, len(whole), 4))


def phone(draw: Chance, shape: str = "{}-555-{}") -> str:
    return shape.format(draw.choice((212, 312, 415, 617, 303, 404)), f"01{draw.randrange(10, 99)}")


def user(draw: Chance) -> str:
    return draw.choice(("kim", "ana.reed", "j_marsh", "omar+rota", "lee-77", "b.noor")) + digits(draw, 2)


def host(draw: Chance) -> str:
    return draw.choice(("old-mill", "ward-three", "quiet-river")) + draw.choice(
        (".example.org", ".example.com")
    )


def email(draw: Chance) -> str:
    return f"{user(draw)}@{host(draw)}"


def ip(draw: Chance) -> str:
    return f"203.0.113.{draw.randrange(10, 250)}"


def coded(draw: Chance, letters: int, count: int) -> str:
    return "".join(draw.choice("BCDFGHKLMNPRSTVWXZ") for _ in range(letters)) + digits(draw, count)


def secret(draw: Chance) -> str:
    mixed = "".join(draw.choice(string.ascii_letters + string.digits) for _ in range(draw.randrange(9, 18)))
    return "tR9" + mixed


MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip


# --- labels -------------------------------------------------------------------------------------------

LABELLED: tuple[tuple[str, tuple[str, ...], Callable[[Chance], str]], ...] = (
    ("MEDICAL_RECORD_NUMBER", ("mrn", "medical record number", "patient id"), lambda d: digits(d, 7)),
    ("PASSPORT", ("passport number", "passport no"), lambda d: coded(d, 1, 8)),
    ("DEVICE_ID", ("serial number", "device id"), lambda d: coded(d, 2, 7)),
    ("VEHICLE_ID", ("license plate", "number plate"), lambda d: coded(d, 3, 4)),
    ("US_DRIVER_LICENSE", ("driver license", "driver license number"), lambda d: coded(d, 1, 8)),
    ("HEALTH_PLAN_NUMBER", ("member id", "policy number", "insurance number"), lambda d: coded(d, 1, 9)),
    ("DATE_OF_BIRTH", ("date of birth", "birth date", "dob"), lambda d: f"19{d.randrange(40, 99)}-0{d.randrange(1, 9)}-{d.randrange(10, 28)}"),
    ("US_SSN", ("ssn", "social security number"), lambda d: digits(d, 3).replace("9", "4").replace("666", "667") + digits(d, 6)),
    ("US_ZIP_CODE", ("zip code", "zip"), lambda d: digits(d, 5)),
    ("AGE", ("age",), lambda d: str(d.randrange(91, 110))),
)  # fmt: skip


def _snake(label: str) -> str:
    return label.replace(" ", "_")


def _camel(label: str) -> str:
    first, *rest = label.split()
    return first + "".join(word.capitalize() for word in rest)


def _title(label: str) -> str:
    return label.upper() if len(label) == 3 else label.capitalize()


FORMS: tuple[Callable[[str, str], str], ...] = (
    lambda k, v: f'{{"{_snake(k)}": "{v}"}}',
    lambda k, v: f'{{"id": 7, "{_camel(k)}":"{v}", "note": "x"}}',
    lambda k, v: f'{{\\"{_snake(k)}\\": \\"{v}\\"}}',
    lambda k, v: f"{{'{_snake(k)}': '{v}'}}",
    lambda k, v: f"{_snake(k)}={v}",
    lambda k, v: f"{_snake(k).upper()}: {v}",
    lambda k, v: f"patient_{_snake(k)}: {v}" if "patient" not in k else f"{_snake(k)}: {v}",
    lambda k, v: f"**{_title(k)}:** {v}",
    lambda k, v: f"**{_title(k)}**: {v}",
    lambda k, v: f"*{_title(k)}*  `{v}`",
    lambda k, v: f"| {_title(k)} | {v} |",
    lambda k, v: f"|{_title(k)}|{v}|",
    lambda k, v: f"<{_snake(k)}>{v}</{_snake(k)}>",
    lambda k, v: f"<td>{_title(k)}</td><td>{v}</td>",
    lambda k, v: f"<dt>{_title(k)}</dt>\n  <dd>{v}</dd>",
    lambda k, v: f"{_title(k)};{v}",
    lambda k, v: f"{_title(k)}\t{v}",
    lambda k, v: f"{_title(k)}:\n{v}",
    lambda k, v: f"{_title(k)}\n{v}\n",
    lambda k, v: f"{_title(k)}: \n\n  {v}",
    lambda k, v: f"{_title(k)} ........ {v}",
    lambda k, v: f"{_title(k)} \u2013 {v}",
    lambda k, v: f"{_title(k)}\u00a0: {v}",
    lambda k, v: f"{_title(k)}:\u00a0{v}",
    lambda k, v: f"{_title(k)} (as on the card): {v}",
    lambda k, v: f"{_title(k)} [required]: {v}",
    lambda k, v: f"{_title(k)} => {v}",
    lambda k, v: f"{_title(k)} -> {v}",
    lambda k, v: f"{_title(k)}：{v}",
    lambda k, v: f"- {_title(k)}: “{v}”",
)  # fmt: skip


def labels(draw: Chance) -> Variation:
    kind, names, value = draw.choice(LABELLED)
    drawn = value(draw)
    return Variation(draw.choice(FORMS)(draw.choice(names), drawn), ((kind, drawn),))


# --- the same characters written otherwise --------------------------------------------------------------


def separators(draw: Chance) -> Variation:
    dash = draw.choice("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d")
    space = draw.choice("\u00a0\u2007\u2009\u202f\u2002\u3000")
    kind, value, around = draw.choice(
        (
            ("US_SSN", ssn(draw).replace("-", dash), "her SSN {} is on file"),
            ("CREDIT_CARD", card(draw, draw.choice((dash, space))), "paid with card {} today"),
            ("PHONE_NUMBER", phone(draw, draw.choice((f"{{}}{dash}555{dash}{{}}", f"{{}}{space}555{space}{{}}"))), "call {} today"),
            ("IBAN_CODE", iban(draw, space), "IBAN {} today"),
        )
    )  # fmt: skip
    return Variation(around.format(value), ((kind, value),))


def wide_digits(draw: Chance) -> Variation:
    zero = draw.choice((0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6))
    wide = str.maketrans({str(n): chr(zero + n) for n in range(10)})
    kind, value, around = draw.choice(
        (
            ("US_SSN", ssn(draw), "her SSN {} is on file"),
            ("CREDIT_CARD", card(draw, " "), "paid with card {} today"),
            ("PHONE_NUMBER", phone(draw), "call {} today"),
        )
    )
    value = value.translate(wide)
    return Variation(around.format(value), ((kind, value),))


def invisible(draw: Chance) -> Variation:
    hidden = draw.choice("\u200b\u200c\u200d\u00ad\ufeff\u2060")
    kind, value, around = draw.choice(
        (
            ("US_SSN", ssn(draw), "her SSN {} is on file"),
            ("CREDIT_CARD", card(draw), "paid with card {} today"),
            ("EMAIL_ADDRESS", email(draw), "write to {} now"),
            ("PHONE_NUMBER", phone(draw), "call {} today"),
            ("IBAN_CODE", iban(draw), "IBAN {} today"),
        )
    )
    at = draw.randrange(1, len(value))
    value = value[:at] + hidden + value[at:]
    return Variation(around.format(value), ((kind, value),))


def at_signs(draw: Chance) -> Variation:
    one, other = user(draw), host(draw)
    dotted = draw.choice((" (dot) ", "[dot]", " dot ", "(dot)"))
    value = draw.choice(
        (
            f"{one}\uff20{other}", f"{one}%40{other}", f"{one} (at) {other}", f"{one}(at){other}",
            f"{one} [at] {other}", f"{one}[at]{other}", f"{one} {{at}} {other}", f"{one} AT {other.upper()}",
            f"{one} (at) {other.replace('.', dotted)}", f"{one}&#64;{other}", f"{one} @ {other}",
        )
    )  # fmt: skip
    if " dot " in value:
        value = value.replace(" dot ", " (dot) ")
    return Variation(f"mail {value} now", (("EMAIL_ADDRESS", value),))


# --- over the end of a line -----------------------------------------------------------------------------


def wrapped(draw: Chance) -> Variation:
    end = draw.choice(("\n", "\r\n", " \n", "\n  "))
    before, between = "", ""
    if draw.random() < 0.4:
        before, between = draw.choice((("> ", "\n> "), (">> ", "\n>> "), ("> ", " \n> "), ("| ", "\n| ")))
        end = between
    kind, value, around = draw.choice(
        (
            ("US_SSN", ssn(draw), "her SSN {} is on file"),
            ("CREDIT_CARD", card(draw, " "), "card {} today"),
            ("CREDIT_CARD", card(draw, "-"), "card {} today"),
            ("IBAN_CODE", iban(draw, " "), "IBAN {} today"),
            ("PHONE_NUMBER", phone(draw), "call {} today"),
            ("PHONE_NUMBER", phone(draw, "({}) 555-{}"), "call {} today"),
            ("EMAIL_ADDRESS", f"kim.wrap{digits(draw, 2)}@old-mill.example.org", "mail {} now"),
        )
    )
    places = [i + 1 for i, c in enumerate(value) if c in "-" or (c == " " and "\n" in end)]
    at = draw.choice(places)
    value = (value[:at].rstrip(" ") if value[at - 1] == " " else value[:at]) + end + value[at:]
    return Variation(before + around.format(value), ((kind, value),))


# --- glued to what stands beside it ---------------------------------------------------------------------


def glued(draw: Chance) -> Variation:
    word = draw.choice(("Patient", "Exp", "Phone", "Date", "Name"))
    kind, value, lead = draw.choice(
        (
            ("US_SSN", ssn(draw), "SSN"),
            ("CREDIT_CARD", card(draw), "card"),
            ("PHONE_NUMBER", phone(draw), "phone"),
            ("PHONE_NUMBER", f"+1{phone(draw, '{}555{}')}", "tel"),
            ("IP_ADDRESS", ip(draw), "ip"),
        )
    )
    shapes = [f"{lead}_{value} left", f"_{value}_", f"{lead.lower()}_{value}_old"]
    if kind != "IP_ADDRESS":
        shapes += [f"{lead} {value}{word} follows", f"employee_{value} left", f"{lead}{value}{word}"]
    return Variation(draw.choice(shapes), ((kind, value),))


def glued_mail(draw: Chance) -> Variation:
    value = f"kim{digits(draw, 2)}@old-mill.example.org"
    return Variation(
        draw.choice(
            (
                f"mail {value}Phone below", f"mail {value}Fax: none", f"mail {value}_ now", f"**{value}**", f"mail {value}, now",
                f"({value})", f"mailto:{value}?subject=x", f"<{value}>", f"{value}|{value}", f"mail={value};", f"“{value}”", f"{value}/archive",
            )
        ),
        (("EMAIL_ADDRESS", value),),
    )  # fmt: skip


# --- secrets --------------------------------------------------------------------------------------------


def secrets(draw: Chance) -> Variation:
    value = secret(draw)
    letters = draw.choice(("quietriverstone", "correcthorsebattery", "silverladderhouse"))
    prefix = draw.choice(("DB", "ROTA", "APP", "MAIL"))
    text, value = draw.choice(
        (
            (f"{prefix}_PASSWORD={value}", value), (f"export {prefix}_SECRET='{value}'", value),
            (f"client_secret = {value}", value), (f"clientSecret: \"{value}\"", value),
            (f"{prefix}_TOKEN: {value}", value), (f"{prefix.lower()}_api_key = \"{value}\"", value),
            (f"Authorization: Bearer {value}{value}", value + value), (f"authorization: Basic {value}{value}", value + value),
            (f"\"source\": [\"password = \\\"{value}\\\"\\n\"]", value), (f"my password was {value} until May", value),
            (f"the passphrase is {value}.", value), (f"Data Source=m:1521/d;User ID=rota;Password={letters};", letters),
            (f"password='{letters}'", letters), (f"\"password\": \"{letters}\"", letters), (f"PWD={letters}", letters),
            (f"usernamePassword: 'rota:{value}'", f"rota:{value}"), (f"<password>{value}</password>", value),
            (f"| password | {value} |", value), (f"password: {value}", value), (f"Server=db;Uid=rota;Pwd={value};", value),
            (f"PIN: {digits(draw, 4)}", ""), (f"the PIN is {digits(draw, 6)} today", ""), (f"pin code: {digits(draw, 4)}", ""),
            (f"access_key_secret: {value}", value), (f"AccountKey={value * 3}==;", f"{value * 3}=="),
        )
    )  # fmt: skip
    if not value:
        value = "".join(c for c in text if c.isdigit())
    return Variation(text, (("API_KEY", value),))


# --- dates of birth, months -----------------------------------------------------------------------------


def births(draw: Chance) -> Variation:
    year, month, day = draw.randrange(1930, 2009), draw.randrange(1, 13), draw.randrange(1, 29)
    name = draw.choice(
        (MONTHS[month - 1], MONTHS[month - 1].upper(), MONTHS[month - 1].lower(), MONTHS[month - 1][:3])
    )
    value = draw.choice(
        (
            f"{year}{month:02}{day:02}", f"{month:02}{day:02}{year}", f"{year}-{month:02}-{day:02}", f"{month}/{day}/{year}",
            f"{day:02}.{month:02}.{year}", f"{day} {name} {year}", f"{name} {day}, {year}", f"{day:02}-{name[:3].upper()}-{year}",
        )
    )  # fmt: skip
    text = draw.choice(
        (
            "DOB: {}", "DOB {}", "D.O.B.: {}", "Date of Birth\n{}", "DATE OF BIRTH: {}", "date_of_birth={}", '{{"dob": "{}"}}',
            "DOB (dd/mm/yyyy): {}", "Birthdate: {}", "birth_date: {}", "| DOB | {} |", "b. {}, of Ohio", "her birthday was {}",
            "born on {} at home", "Date of birth is {}", "dateOfBirth: {}", "birthday={}", "<dob>{}</dob>",
        )
    ).format(value)  # fmt: skip
    if text.startswith("b. ") and value.isdigit():
        text = f"DOB: {value}"
    return Variation(text, (("DATE_OF_BIRTH", value),))


def births_otherwise(draw: Chance) -> Variation:
    year, month, day = draw.randrange(1930, 2009), draw.choice(MONTHS), draw.randrange(1, 29)
    value, text = draw.choice(
        (
            (f"{year}-06-{day:02}", "{} is my birthday."), (f"{year}-11-{day:02}", "{} is her date of birth"),
            (f"{day}th of {month}, {year}", "date of birth is the {}"), (f"{day}th of {month} {year}", "born on the {}"),
            (f"{month} the {day}th, {year}", "born {} in Ohio"), (f"{day} {month} {year}", "he was born {} in Ohio"),
            (f"{day}/{6}/{year}", "{} (DOB)"), (f"{day} {month.lower()} {year}", "{} was his birthday"),
        )
    )  # fmt: skip
    return Variation(text.format(value), (("DATE_OF_BIRTH", value),))


def months(draw: Chance) -> Variation:
    month, day, year = draw.choice(MONTHS), draw.randrange(1, 29), draw.randrange(1990, 2026)
    cased = draw.choice((str.upper, str.lower))
    value = draw.choice(
        (
            f"{month} {day}, {year}",
            f"{day} {month} {year}",
            f"{month[:3]} {day}, {year}",
            f"{day} {month[:3]} {year}",
        )
    )
    value = cased(value)
    return Variation(f"seen {value} again", (("DATE_TIME", value),))


# --- what is nobody's -----------------------------------------------------------------------------------


def nobodys(draw: Chance) -> Variation:
    d = lambda n: digits(draw, n)
    text = draw.choice(
        (
            f"the ratio was 0.{d(9)} last week", f"p = 0.{d(10)}", f"epoch 1{d(9)} was logged", f"ts=1{d(9)}.{d(3)} ok", f"order {d(10)} was sent",
            f"Chrome/{draw.randrange(60, 99)}.0.{d(4)}.{d(3)} was used", f"build {draw.randrange(60, 99)}.0.{d(4)}.{d(2)} green",
            f"number 9{draw.randrange(10, 99)}-{draw.randrange(10, 49)}-{d(4)} on the slip", f"a total of {d(3)},{d(3)},{d(3)} rows", f"row {d(9)} of {d(10)}",
            f"see {draw.choice(('report', 'minutes', 'rota', 'plan'))}.docx in the folder", f"skype: kim.brook{d(2)}", "use os.path.join(a, b) here",
            f"{draw.choice(('cafe::babe', 'a::b', 'dead::beef', 'Foo::Bar', 'ab::cd::ef'))} is a module", f"IMG_{d(17)}.jpg", "driver 000000 was loaded",
            f"the driver {d(6)} was loaded", f"std::{draw.choice(('vector', 'map', 'pair'))}<int> v;", f"commit {d(7)} of the tree", f"version {d(1)}.{d(2)}.{d(2)}.{d(1)}0{d(2)} is out",
            f"Message-ID: <{d(14)}.{d(5)}@old-mill.example.org>", f"References: <{d(8)}.GA{d(4)}@old-mill.example.org>", f"In article <{d(9)}.{d(4)}@old-mill.example.org> it says",
            f"pixel {d(4)}x{d(4)} at {d(8)}", f"{d(3)}.{d(9)}, {d(2)}.{d(9)}", f"self.update{d(2)}.connect(x)", f"model.co{d(1)}nv.to(x)", f"tile_{d(8)}_{d(8)}.png",
        )
    )  # fmt: skip
    return Variation(text, ())


def of_things(draw: Chance) -> Variation:
    """Numbers called after a thing, and parts of longer ones: in the shape of a telephone number or a date."""
    d, n = lambda n: digits(draw, n), draw.randrange
    security = f"{n(100, 665)}-{n(10, 99)}-{n(1000, 9999)}"
    text = draw.choice(
        (
            f"ISBN 0-{n(100, 999)}-{d(5)}-{d(1)}", f"UPC 00{d(10)}", f"part {security} was ordered", f"model {security} of the pump", f"item no. {security}",
            f"part no {n(201, 989)}.{n(200, 999)}.{d(4)}", f"took {n(100, 999)}.{d(3)} s", f"{n(100, 999)}-{n(100, 999)} at half time", f"part QW-{d(6)}-K",
            f"doi:10.{d(4)}/s{d(5)}-0{d(2)}-{d(5)}-{d(1)}", f"build {n(1, 9)}.{n(1, 9)}.{d(4)}.{d(5)} green", f"kernel {n(2, 6)}.{n(10, 40)}.{n(10, 99)}.{n(100, 250)}",
            f"CAS {n(2300, 9999)}-0{n(1, 9)}-{n(1, 9)}, 4 g", f"at 10:{n(10, 59)}:{n(10, 59)} -0{n(100, 999)}", f"see US 2079/00{d(5)}", f"in {d(4)}-December/{d(6)}.html",
        )
    )  # fmt: skip
    return Variation(text, ())


def beside_things(draw: Chance) -> Variation:
    """Values of persons where a word of a thing, a dash or a point stands beside them."""
    n = draw.randrange
    number = f"{n(201, 989)}-{n(201, 989)}-{n(1000, 9999)}"
    security = f"{n(100, 665)}-{n(10, 99)}-{n(1000, 9999)}"
    day, other = f"{n(10, 28)}.0{n(1, 9)}.{n(1950, 2024)}", f"20{n(10, 24)}-0{n(1, 9)}-{n(10, 28)}"
    kind, text, value = draw.choice(
        (
            ("PHONE_NUMBER", "page {} at night", number), ("PHONE_NUMBER", "for a catalog {} is open", number), ("PHONE_NUMBER", "Pat {} (home)", number),
            ("PHONE_NUMBER", "call about the part {}", number), ("PHONE_NUMBER", "phone, any model: {}", number), ("PHONE_NUMBER", "Tel.{}", number),
            ("PHONE_NUMBER", "reach us under 00{}", f"49 30 {n(100000, 999999)}"), ("US_SSN", "SSN, item no. {}", security),
            ("US_SSN", "{} took part", security), ("US_SSN", "a model patient, {}", security), ("DATE_TIME", "from {}-28.12.2024", day),
            ("DATE_TIME", "file {}-1.txt", other), ("DATE_TIME", "seen {}. 3 of them", day),
        )
    )  # fmt: skip
    return Variation(text.format(value), ((kind, value),))


def not_british(draw: Chance) -> Variation:
    while True:  # only numbers that pass the check of the health service as well
        shape = draw.choice(("{}-555-{}", "{} 555 {}", "{}555{}"))
        value = phone(draw, shape)
        plain = [int(c) for c in value if c.isdigit()]
        rest = 11 - sum(n * w for n, w in zip(plain, range(10, 1, -1))) % 11
        if rest % 11 == plain[9]:
            break
    text = draw.choice(("You can call my phone {} today", "M: {}", "fax {}", "Tel. {} (home)", "mobile {}"))
    if "M:" in text and value.isdigit():
        text = "call {}"
    return Variation(text.format(value), (("PHONE_NUMBER", value),))


def hosts(draw: Chance) -> Variation:
    value = draw.choice(
        (
            f"{user(draw)}@oldmill", f"{user(draw)}@decwrl.uucp", f"{user(draw)}@vax.bitnet", f"{user(draw)}@[203.0.113.{digits(draw, 2)}]",
            f"{user(draw)}@203.0.113.{digits(draw, 2)}", f"{user(draw)}@ward3.hospital.local", f"{user(draw)}@mail.oldmill.zz", f"{user(draw)}@eunet.example.fi",
        )
    )  # fmt: skip
    return Variation(
        draw.choice(("mail {} now", "From: {}", "<{}> wrote:", "from {} (Kim)")).format(value),
        (("EMAIL_ADDRESS", value),),
    )


def announced(draw: Chance) -> Variation:
    d = lambda n: digits(draw, n)
    kind, text, value = draw.choice(
        (
            ("REFERENCE_NUMBER", "order number {} was sent", d(8)), ("REFERENCE_NUMBER", "Order #{} was sent", d(7)), ("REFERENCE_NUMBER", "booking reference {}", coded(draw, 3, 4)),
            ("REFERENCE_NUMBER", "tracking number: {}", "1Z" + coded(draw, 3, 12)), ("REFERENCE_NUMBER", "Meeting ID: {}", f"{d(3)} {d(4)} {d(4)}"), ("REFERENCE_NUMBER", "ticket no. {} is open", coded(draw, 3, 6)),
            ("REFERENCE_NUMBER", '{{"booking_reference": "{}"}}', coded(draw, 2, 5)), ("PHONE_NUMBER", "call me on extension {}", f"x{d(1)}-{d(4)}"), ("PHONE_NUMBER", "Kim, ext. {}", d(4)),
            ("PHONE_NUMBER", "dial {} for the ward", f"x{d(1)}-{d(4)}"), ("CREDIT_CARD", "card ending {}", d(4)), ("CREDIT_CARD", "the card ending in {} was declined", d(4)),
            ("CREDIT_CARD", "Visa ending with {}", d(4)), ("PROFESSIONAL_NUMBER", "NPI: {}", "1" + d(9)), ("PROFESSIONAL_NUMBER", "registration number: {}", coded(draw, 2, 6)), ("HEALTH_PLAN_NUMBER", "insurance number {}", coded(draw, 2, 8)),
            ("REFERENCE_NUMBER", "invoice number {}", d(7)), ("REFERENCE_NUMBER", "case number: {}", f"{d(4)}-{d(5)}"), ("REFERENCE_NUMBER", "confirmation code {}", coded(draw, 3, 3)),
        )
    )  # fmt: skip
    return Variation(text.format(value), ((kind, value),))


# --- streets and names ----------------------------------------------------------------------------------

_STREET_NAMES = ("Oak", "Harrow Mill", "Mountain Creek", "Larch", "Cedar Hill", "Saint John")


def streets(draw: Chance) -> Variation:
    number, name = draw.randrange(10, 9900), draw.choice(_STREET_NAMES)
    suffix = draw.choice(("Street", "St", "Ave", "Rd", "Ln", "Blvd", "Drive", "Ct", "Lane", "Road"))
    unit = draw.choice(("", " Apt 4", ", Apt 4B", " Ste 777", " Unit 12", ", # 5", " Suite 1500"))
    value = f"{number} {draw.choice(('', 'N ', 'E. ', 'SW '))}{name} {suffix}{unit}"
    cased = draw.choice((str, str, str.upper, str.lower))
    value = cased(value)
    text = draw.choice(("{}", "lives at {} now", "Address: {}", "send it to {}, please"))
    return Variation(text.format(value), (("STREET_ADDRESS", value),))


def streets_abroad(draw: Chance) -> Variation:
    n = draw.randrange(2, 190)
    value = draw.choice(
        (
            f"Calle Mayor {n}, 3º B, 28013 Madrid", f"C/ Serrano {n}, 28001 Madrid", f"Avenida de la Paz, {n}, 46010 Valencia", f"Avda. Diagonal {n}, 2º 1ª, 08013 Barcelona",
            f"Hauptstr. {n}, 10115 Berlin", f"Lindenstraße {n}a, 80331 München", f"Am Markt {n}, 28195 Bremen", f"{n} rue de la Paix, 75002 Paris",
            f"{n}, avenue Victor Hugo, 69003 Lyon", f"Via Roma {n}, 00184 Roma", f"Viale Monza, {n}, 20125 Milano", f"Rua Augusta, {n}, 1100-053 Lisboa", f"Keizersgracht {n}, 1015 CJ Amsterdam",
            f"Kerkstraat {n}, 1017 GB Amsterdam",
        )
    )  # fmt: skip
    return Variation(
        draw.choice(("vive en {} desde mayo", "{}", "Adresse: {}", "at {}.")).format(value),
        (("STREET_ADDRESS", value),),
    )


def boxes(draw: Chance) -> Variation:
    n = draw.randrange(12, 9999)
    value = draw.choice(
        (
            f"PO Box {n}",
            f"P.O. Box {n}",
            f"po box {n}",
            f"P O BOX {n}",
            f"Post Office Box {n}",
            f"Apartado de Correos {n}",
            f"Postfach {n}",
            f"PMB {n}",
        )
    )
    return Variation(
        draw.choice(("Send it to {}.", "{}", "Address: {}, Larch")).format(value),
        (("STREET_ADDRESS", value),),
    )


def names(draw: Chance) -> Variation:
    value = draw.choice(
        (
            "Nguyễn Thị Lan",
            "Zoë Brontë",
            "Müller-Marsh",
            "O'Neill",
            "D’Angelo",
            "Ørsted",
            "José Álvarez",
            "Łukasz Wójcik",
            "Quillfeather",
            "Jean-Luc Éluard",
            "MacGregor",
            "van der Berg",
        )
    )
    if value.startswith("van"):
        value = "Ann " + value
    title = draw.choice(("Mr", "Mrs", "Ms", "Dr", "Dr.", "Prof."))
    if draw.random() < 0.3 and not value.startswith("Ann"):
        value, title = value.upper(), title.upper()
    return Variation(
        draw.choice(("{} {} came", "seen by {} {}.")).format(title, value)
        if not value.isupper()
        else f"{title} {value} CAME",
        (("PERSON", value),),
    )


KINDS: Mapping[str, Callable[[Chance], Variation]] = {
    "labels": labels,
    "separators": separators,
    "wide digits": wide_digits,
    "invisible": invisible,
    "at signs": at_signs,
    "wrapped": wrapped,
    "glued": glued,
    "glued mail": glued_mail,
    "secrets": secrets,
    "births": births,
    "births otherwise": births_otherwise,
    "months": months,
    "nobodys": nobodys,
    "of things": of_things,
    "beside things": beside_things,
    "not British": not_british,
    "hosts": hosts,
    "announced": announced,
    "streets": streets,
    "streets abroad": streets_abroad,
    "boxes": boxes,
    "names": names,
}
"""Kind -> how one is drawn."""


def drawn(kind: str, seed: int, count: int) -> list[Variation]:
    """``count`` different variations of a kind."""
    draw = random.Random(f"{kind} {seed}")
    found: dict[str, Variation] = {}
    for _ in range(50 * count):
        one = KINDS[kind](draw)
        found.setdefault(one.text, one)
        if len(found) == count:
            break
    return list(found.values())
