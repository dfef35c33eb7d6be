"""Sentences with a place for a value, and values: what the accuracy benchmark is short of.

``TUNING`` may be looked at when a detector is written; ``HELD_OUT`` may not, and is what the figures are of.
``DISTRACTORS`` hold numbers and names that are nobody's. Values come from Faker, in many locales.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from faker import Faker

LOCALES = (
    "en_US", "en_US", "en_US", "en_GB", "en_CA", "en_AU", "de_DE", "fr_FR", "it_IT", "es_ES", "nl_NL",
    "sv_SE", "da_DK", "pl_PL", "pt_BR", "hu_HU", "cs_CZ", "fi_FI", "no_NO", "en_IN",
)  # fmt: skip

TUNING: dict[str, tuple[str, ...]] = {
    "PHONE_NUMBER": (
        "How can we reach you? You can call {}",
        "Phone: {}",
        "my cell is {} if anything comes up",
        "Tel. {} (weekdays)",
        "ring {} and ask for Ann",
        "{} office",
    ),
    "EMAIL_ADDRESS": ("write to {} today", "From: {}", "<{}> wrote:"),
    "US_SSN": ("My SSN is {}", "social security number {}"),
    "IBAN_CODE": ("IBAN: {}", "transfer it to {} please"),
    "IP_ADDRESS": ("login from {} failed", "host {} is down"),
    "URL": ("see {} for more", "Homepage: {}"),
    "CREDIT_CARD": ("my card {} was declined", "paid with {}"),
    "DATE_OF_BIRTH": ("DOB: {}", "she was born on {}"),
    "MEDICAL_RECORD_NUMBER": ("MRN {}", "medical record number {}"),
    "VEHICLE_ID": ("VIN {}", "licence plate {}"),
    "DEVICE_ID": ("IMEI: {}", "serial number {}"),
    "MAC_ADDRESS": ("mac address {}",),
    "PASSPORT": ("passport number {}", "passport {}"),
    "API_KEY": ("export TOKEN={}",),
    "AGE": ("a {}-year-old woman", "aged {}"),
}

HELD_OUT: dict[str, tuple[str, ...]] = {
    "PHONE_NUMBER": (
        "If the line drops, dial {} again.",
        "Contact the ward at {} after six.",
        "Mobile {}; please no calls before nine.",
        "Her telephone number used to be {}, I think.",
        "Fax the form to {} by Friday",
        "For emergencies: {}",
        "You may text him on {} at any hour.",
        "Reception can be reached under {}.",
        "Office phone\n{}\nroom 4",
        "call me back ({}) when you know more",
        "the number is {} but it is busy",
        "Phone/Fax: {}",
    ),
    "EMAIL_ADDRESS": (
        "Could you forward it to {}?",
        "His address ({}) bounced.",
        "cc: {}; bcc: nobody",
        "e-mail={}",
        '"{}" is not in the directory.',
        "Send cvs to {}, not to me.",
    ),
    "US_SSN": (
        "SS# {} was on the form.",
        "Please confirm the last digits of {} as your social.",
        "Employee {} signed the W-4.",
        "ssn={}",
        "The social security card shows {}.",
        "({})",
    ),
    "IBAN_CODE": (
        "Our account is {}.",
        "Please wire the deposit to {} until Monday",
        "Bank details\n{}\nBIC follows",
        "({}) is the account of the clinic",
        "credited {} yesterday",
    ),
    "IP_ADDRESS": (
        "the request came from {}.",
        "ping {} answered in 3 ms",
        "Received: from mail ({}) by mx",
        "src={} dst=unknown",
        "blocked {} after five attempts",
    ),
    "URL": (
        "The form is at {}, bottom of the page.",
        '<a href="{}">here</a>',
        "({})",
        "I read it on {} yesterday",
        "Read more: {}",
    ),
    "CREDIT_CARD": (
        "Charge {} for both nights.",
        "card no. {} exp 03/27",
        "The number on the front is {}.",
        "They stole {} from the desk",
        "Amount due, to be drawn from {}",
    ),
    "DATE_OF_BIRTH": (
        "Date of birth {}.",
        "The patient (born {}) was admitted.",
        "Birthday: {}",
        "d.o.b. {}",
        "He was born on {}, in Ohio.",
    ),
    "MEDICAL_RECORD_NUMBER": (
        "Patient ID: {}",
        "(MRN: {}) seen in clinic",
        "Chart number {} was missing.",
        "medical record no. {}",
        "MRN#{}",
    ),
    "VEHICLE_ID": (
        "The plate was {}.",
        "vehicle identification number: {}",
        "His car, license plate {}, was towed.",
        "VIN: {}",
        "registration plate {} on the van",
    ),
    "DEVICE_ID": (
        "IMEI {}",
        "The pacemaker has serial number {}.",
        "device serial no. {}",
        "S/N: {}",
        "The phone's IMEI is {}.",
    ),
    "MAC_ADDRESS": (
        "the card with {} was not in the list",
        "arp: {} at eth0",
        "MAC={}",
        "hardware address {}.",
        "from {} on port 4",
    ),
    "PASSPORT": (
        "Passport no. {}",
        "travelling on passport {}",
        "passport number: {}",
        "His passport ({}) had expired.",
        "Passport # {}",
    ),
    "API_KEY": (
        "token: {}",
        "I pasted {} by mistake",
        "Authorization: Bearer {}",
        'key = "{}"',
        "curl -H {}",
    ),
    "AGE": (
        "The patient is a {}-year-old man with a cough.",
        "She is {} years old.",
        "Age: {}",
        "a {} y/o female",
        "He died at the age of {}.",
    ),
}

DISTRACTORS = (
    "The build 3.14.159 took 1200 seconds.",
    "We counted 84,201 visitors in 2003.",
    "Order 7715 shipped in 3-5 days.",
    "Section 4.2.1 was moved to page 112.",
    "It costs $1,250.00 or 15 % less.",
    "Between 10:15 and 11:45 nobody came.",
    "Room 12 seats 40 people.",
    "Temperature was 98.6 and pulse 72.",
    "He scored 3-2 in the final.",
    "Version 2.0.1-rc4 fixes bug #48213.",
    "Take 2 tablets of 500 mg, 3 times a day.",
    "Nothing else was said.",
    "The ratio is 16:9, about 1.78.",
    "A 12-year-old boy came by.",
    "In the 1990s it was 45 kg.",
)


def _luhn_complete(body: str) -> str:
    total = sum(sum(divmod(int(c) * (2 if i % 2 == 0 else 1), 10)) for i, c in enumerate(reversed(body)))
    return body + str(-total % 10)


def _hex(draw: random.Random, length: int) -> str:
    return "".join(draw.choice("0123456789abcdef") for _ in range(length))


def _text(draw: random.Random, length: int) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(draw.choice(letters) for _ in range(length))


def _iban(draw: random.Random) -> str:
    value = Faker(draw.choice(("de_DE", "en_GB", "fr_FR", "it_IT", "es_ES", "nl_NL", "pl_PL")))
    value.seed_instance(draw.getrandbits(32))
    iban = value.iban()
    return " ".join(iban[i : i + 4] for i in range(0, len(iban), 4)) if draw.random() < 0.4 else iban


def _dates(draw: random.Random, fake: Faker) -> str:
    day = fake.date_of_birth(minimum_age=1, maximum_age=95)
    forms = ("%m/%d/%Y", "%d/%m/%y", "%Y-%m-%d", "%B %d, %Y", "%d %B %Y", "%d.%m.%Y", "%b %d, %Y", "%d-%b-%Y")
    return day.strftime(draw.choice(forms))


def _vehicle(draw: random.Random, fake: Faker, template: str) -> str:
    if "vin" in template.lower() or "identification" in template:
        return str(fake.vin())
    local = Faker(draw.choice(("en_US", "en_GB")))
    local.seed_instance(draw.getrandbits(32))
    return str(local.license_plate())


def _api_key(draw: random.Random) -> str:
    return draw.choice(
        (
            "ghp_" + _text(draw, 36),
            "AKIA" + _text(draw, 16).upper(),
            "sk-proj-" + _text(draw, 40),
            "xoxb-" + _text(draw, 24),
            "AIza" + _text(draw, 35),
            "glpat-" + _text(draw, 20),
            "sk_live_" + _text(draw, 24),
            "hf_" + _text(draw, 34),
            "npm_" + _text(draw, 36),
            "SG." + _text(draw, 22) + "." + _text(draw, 43),
        )
    )


def value(kind: str, template: str, draw: random.Random) -> str:
    """A value of ``kind`` as people write it; the template says which of several it asks for."""
    local = Faker(draw.choice(LOCALES))
    local.seed_instance(draw.getrandbits(32))
    fake = Faker("en_US")
    fake.seed_instance(draw.getrandbits(32))
    made: dict[str, Callable[[], str]] = {
        "PHONE_NUMBER": local.phone_number,
        "EMAIL_ADDRESS": draw.choice((fake.email, fake.company_email, local.free_email)),
        "US_SSN": fake.ssn,
        "IBAN_CODE": lambda: _iban(draw),
        "IP_ADDRESS": draw.choice((fake.ipv4, fake.ipv4_private, fake.ipv6)),
        "URL": draw.choice((fake.url, fake.uri, lambda: "www." + fake.domain_name())),
        "CREDIT_CARD": fake.credit_card_number,
        "DATE_OF_BIRTH": lambda: _dates(draw, fake),
        "MEDICAL_RECORD_NUMBER": lambda: draw.choice(("", "", "PT-", "A")) + fake.numerify("%######"),
        "VEHICLE_ID": lambda: _vehicle(draw, fake, template),
        "DEVICE_ID": lambda: (
            _luhn_complete(fake.numerify("35############"))
            if "IMEI" in template
            else fake.bothify("??#######").upper()
        ),
        "MAC_ADDRESS": lambda: (
            fake.mac_address() if draw.random() < 0.7 else fake.mac_address().replace(":", "-")
        ),
        "PASSPORT": lambda: draw.choice(
            (fake.passport_number(), fake.bothify("?########").upper(), fake.numerify("%########"))
        ),
        "API_KEY": lambda: _api_key(draw),
        "AGE": lambda: str(draw.randint(90, 104)),
    }
    return made[kind]()


def sentences(
    templates: dict[str, tuple[str, ...]], each: int, seed: int
) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """``each`` texts for every kind, with (kind, start, end) of the one value in it."""
    draw = random.Random(seed)
    made = []
    for kind, its in templates.items():
        for number in range(each):
            template = its[number % len(its)]
            one = value(kind, template, draw)
            before = draw.choice(DISTRACTORS) + " "
            text = before + template.replace("{}", one) + " " + draw.choice(DISTRACTORS)
            start = len(before) + template.index("{}")
            made.append((text, [(kind, start, start + len(one))]))
    return made
