# ruff: noqa: E501 (an expression is read across)
"""Recognisers of what has no shape of its own: the label before the value says what it is, and stays.

What may stand between the two is said once, in ``labels``.
"""

from __future__ import annotations

from collections.abc import Callable

from mlmguard.corpus.detect.check_digits import luhn
from mlmguard.corpus.detect.labels import after
from mlmguard.corpus.detect.recogniser import Recogniser


def _digits(least: int, most: int = 40) -> Callable[[str], bool]:
    """A check that a match holds ``least`` to ``most`` digits."""
    return lambda value: least <= sum(c.isdigit() for c in value) <= most


US_SSN = Recogniser(
    entity="US_SSN",
    name="SsnAfterWords",
    patterns=after(
        ("ssn", "ss#", "s.s.n.", "social security", "soc sec", "social sec"),
        r"\d{3}[ .-]?\d{2}[ .-]?\d{4}",
        0.85,
    ),
    finds=(
        "SSN: «512-46-7183»",
        '{"employee_ssn": "«512467183»"}',
        "| Social Security Number | «512 46 7183» |",
        "socialSecurityNumber=«512467183»",
    ),
    leaves=("ssn was lost in 2002", "social security 401k of 1998", "SSN: 51246718300"),
)

MEDICAL_RECORD_NUMBER = Recogniser(
    entity="MEDICAL_RECORD_NUMBER",
    name="MedicalRecordNumber",
    patterns=(
        *after(
            (
                "mrn", r"m\.r\.n\.?", "medical record", "medical chart", "medical file", "medical id", "patient record",
                "patient chart", "patient file", "patient id", "patient (?:number|no|#)", "health record", "hospital number",
                "chart (?:number|no|id|#)", "record number",
            ),
            r"(?:[A-Z]{1,3}-?)?\d(?:-?\d){4,13}",
            0.85,
        ),
        *after(("chart", "patient"), r"(?:[A-Z]{1,3}-?)?\d(?:-?\d){4,13}", 0.85, between=r"[ \t]?(?:[:=#-]|(?:is|was)\b)?[ \t]?"),
    ),
    finds=(
        "(MRN «4482913»)",
        "medical record number «7719234».",
        "MRN: «00-482-913» today",
        "Patient ID: «PT-882211»",
        "MRN#«5519021»",
        "file MRN«4482913»",
        '{"mrn": "«4482913»"}',
        "| MRN | «1234567» |",
        "**MRN:** «1234567»",
        "<patientId>«882211»</patientId>",
        "Medical record\n«7719234»",
    ),
    leaves=(
        "the patient 12 years ago",
        "record number of visitors: many",
        "MRN was not known",
        "chart 3 shows",
    ),
)  # fmt: skip

PASSPORT = Recogniser(
    entity="PASSPORT",
    name="PassportAfterWords",
    patterns=after(("passport",), r"[A-Z]{0,3}\d[A-Z0-9]{4,9}", 1.0),
    valid=_digits(5),
    finds=(
        "passport number «L19915041»",
        "passport no. «858242507».",
        "her passport («C01X00T47») had",
        "Passport # «XK1234567»",
        "<passport_number>«L19915041»</passport_number>",
        "Passport number:\n«L19915041»",
    ),
    leaves=("passport control 5 minutes", "the passport was lost in 2002", "PASSPORT 12"),
)

US_DRIVER_LICENSE = Recogniser(
    entity="US_DRIVER_LICENSE",
    name="DriverLicenseAfterWords",
    patterns=after(
        ("driver'?s?'? licen[cs]e", "drivers? permit", "driving licen[cs]e", "driving permit"),
        r"[A-Z]{0,2}\d(?:-?[A-Z0-9]){4,16}",
        1.0,
    ),
    finds=(
        "driver's license «S12345678»",
        "driving licence no: «123456789».",
        "Driver License # «D123-4567-8901»",
        '"driverLicenseNumber": "«S12345678»"',
    ),
    leaves=("driver's license in 2002", "a driving licence is needed", "driver license A"),
)

VEHICLE_AFTER_WORDS = Recogniser(
    entity="VEHICLE_ID",
    name="VehicleAfterWords",
    patterns=(
        *after(("vin", "vehicle identification"), r"[A-HJ-NPR-Z0-9]{17}", 0.95),
        *after(
            (
                "licen[cs]e plates?", "number plates?", "registration plates?", "vehicle plates?", "plates?",
                "vehicle registration", "car registration",
            ),
            r"(?=[A-Z0-9 -]{0,9}\d)(?=[0-9 -]{0,9}[A-Z])[A-Z0-9]{1,4}(?:[ -](?![A-Z]\b)[A-Z0-9]{1,4}|[A-Z0-9]{1,4}){1,2}",
            0.85,
        ),
    ),
    valid=lambda value: 4 <= sum(c.isalnum() for c in value) <= 17,
    finds=(
        "VIN «VLEURGP1863FX0809»",
        "licence plate «KUJ1321»",
        "His plate is «LK28 WAS».",
        "number plate: «B-MW 1234» seen",
        "License plate;«KUJ1321»",
    ),
    leaves=("a plate of 12 oysters", "plate 3 shows", "VIN unknown", "plate tectonics"),
)  # fmt: skip

DEVICE_AFTER_WORDS = Recogniser(
    entity="DEVICE_ID",
    name="DeviceAfterWords",
    patterns=after(
        ("serial", "s/n", "device id", "device serial", "device number", "implant id", "udi"),
        r"(?=[A-Z0-9-]{0,12}\d{3})[A-Z0-9](?:-?[A-Z0-9]){4,20}",
        1.0,
    ),
    finds=(
        "serial number «XQ7554936»",
        "S/N: «84-20019-3».",
        "device serial no. «NU3846688» was",
        '{"serial_number": "«XQ7554936»"}',
    ),
    leaves=("serial killers of 1999", "a serial number was missing", "serial port 3"),
)

IMEI = Recogniser(
    entity="DEVICE_ID",
    name="Imei",
    patterns=after(("imei",), r"\d{2}[- ]?\d{6}[- ]?\d{6}[- ]?\d", 1.0),
    valid=luhn,
    finds=("IMEI: «357067211004187»", "the IMEI is «35-706721-100418-7»."),
    leaves=("IMEI 357067211004188", "IMEI was wiped"),
)

HEALTH_PLAN_NUMBER = Recogniser(
    entity="HEALTH_PLAN_NUMBER",
    name="HealthPlanAfterWords",
    patterns=after(
        (
            *(
                f"{one} {number}"
                for one in ("member", "subscriber", "beneficiary", "policy", "policy ?holder", "insurance", "health plan")
                for number in ("(?:id|numbers?|no|#|claim number)",)
            ),
            "medicare", "medicaid",
        ),
        r"(?=[A-Z0-9-]{0,8}\d{2})[A-Z0-9](?:-?[A-Z0-9]){6,16}",
        0.85,
    ),
    valid=_digits(5),
    finds=(
        "Member ID: «W223344556»",
        "medicare «1234-567-890A»",
        "policy number «PX99881277».",
        '{"member_id": "«W223344556»"}',
        "| Insurance number | «AB12345678» |",
    ),
    leaves=("policy number three", "medicare covers 80 percent", "insurance no longer needed"),
)  # fmt: skip

PROFESSIONAL_NUMBER = Recogniser(
    entity="PROFESSIONAL_NUMBER",
    name="ProfessionalNumberAfterWords",
    patterns=after(
        (
            "npi", "national provider", "registration (?:number|no|#)", "licen[cs]e (?:number|no|#)", "gmc (?:number|no|#)",
            "professional (?:number|id|no)", "collegiate number",
        ),
        r"(?=[A-Z0-9-]{0,6}\d{3})[A-Z0-9](?:[-/]?[A-Z0-9]){4,14}",
        0.7,
    ),
    valid=_digits(4),
    finds=("NPI: «1437223344»", "registration number: «BK448291»", "GMC number «4482913».", '{"license_number": "«AB44829»"}'),
    leaves=("registration number of the day", "npi of 12 percent", "license number 12"),
)  # fmt: skip

REFERENCE_NUMBER = Recogniser(
    entity="REFERENCE_NUMBER",
    name="ReferenceAfterWords",
    patterns=(
        *after(
            tuple(
                f"{one} {number}"
                for one in ("order", "booking", "reservation", "tracking", "ticket", "invoice", "case", "confirmation", "claim", "meeting", "customer", "account", "employee", "reference")
                for number in (r"(?:id|number|no\.?|nr\.?|ref\.?|reference|code|#)",)
            ),
            r"(?=[A-Z0-9/-]{0,9}\d{2})[A-Z0-9](?:[-/ ](?=\d)|[-/]?[A-Z0-9]){4,21}(?<![ /-])",
            0.8,
        ),
        *after(("meeting id", "webinar id"), r"\d{3} ?\d{3,4} ?\d{3,4}", 0.85),
    ),
    valid=_digits(3, 20),
    finds=(
        "order number «84420135» shipped",
        "Order #«8442013» was sent",
        "booking reference «KLM4482»",
        "Meeting ID: «843 4482 9130»",
        '{"tracking_number": "«1Z448X2913»"}',
        "case no. «2021-44829»",
    ),
    leaves=("order 8442013599 was sent", "order number of the day", "case no longer open", "meeting id unknown", "ticket 12"),
)  # fmt: skip

CARD_END = Recogniser(
    entity="CREDIT_CARD",
    name="EndOfCard",
    patterns=after(
        (
            "card ending", "card ends", "card ending (?:in|with)", "card ends (?:in|with)", "visa ending", "visa ending (?:in|with)",
            "mastercard ending", "mastercard ending (?:in|with)", "amex ending", "amex ending (?:in|with)", "last (?:4|four) digits",
            "last (?:4|four) of (?:the |my )?card",
        ),
        r"\d{4}(?!-?\d)",
        0.8,
        number=False,
    ),
    finds=("card ending «4482»", "the card ending in «4482» was", "Visa ending with «1291».", "last four digits: «7183»"),
    leaves=("a card ending the game", "the last four digits of it", "card ends in 2022-06"),
)  # fmt: skip

EXTENSION = Recogniser(
    entity="PHONE_NUMBER",
    name="Extension",
    patterns=(
        *after(
            ("extension", r"ext\.?", "extn", "pager", r"bleep"), r"x?\d{1,2}-?\d{3,4}", 0.7, between=r"(?:[ \t]{0,2}[:=#(]?[ \t]{0,2})",
        ),
        *after((r"call", "dial", "ring", "phone", "ext", "extension", "reach", "at", "on"), r"x\d-\d{4}", 0.7, number=False, between=r"[: \t(\w]{0,12}?"),
    ),
    finds=("Kim, ext. «4482»", "call me on extension «x4-4829»", "dial «x4-4829» for the ward", "pager «44829»"),
    leaves=("extension of 4482 metres", "the text 4482", "file extension 7", "an extent of 4482"),
)  # fmt: skip

LABELLED: tuple[Recogniser, ...] = (
    US_SSN,
    MEDICAL_RECORD_NUMBER,
    PASSPORT,
    US_DRIVER_LICENSE,
    VEHICLE_AFTER_WORDS,
    DEVICE_AFTER_WORDS,
    IMEI,
    HEALTH_PLAN_NUMBER,
    PROFESSIONAL_NUMBER,
    REFERENCE_NUMBER,
    CARD_END,
    EXTENSION,
)
