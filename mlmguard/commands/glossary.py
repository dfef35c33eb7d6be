"""Entity types in plain words: what each is and why it matters."""

from __future__ import annotations

from collections.abc import Mapping

#: Entity type to (what it is, why it matters).
ENTITIES: Mapping[str, tuple[str, str]] = {
    "AGE": ("a person's age", "ages over 89 single people out; with a place and a date lower ones do"),
    "API_KEY": ("a key of a service", "whoever reads it acts as its owner until it is revoked"),
    "CREDIT_CARD": ("a payment card number with a valid check digit", "it can be charged"),
    "CRYPTO": ("the address of a wallet", "every payment to and from it is public"),
    "DATE_OF_BIRTH": ("a date of birth", "with sex and ZIP code it singles out most people"),
    "DATE_TIME": ("a date or time", "dates of admission, discharge and death lead to a person"),
    "DEVICE_ID": ("the serial number of a device", "that of an implant names its patient"),
    "EMAIL_ADDRESS": ("an e-mail address", "it reaches one person and often holds the name"),
    "HIGH_ENTROPY_ID": (
        "a long run of random letters and digits",
        "a token, a session or a record's key: whoever has it stands for somebody",
    ),
    "PASSPORT": ("the number of a passport", "it names its holder at every border"),
    "URL_CREDENTIALS": ("an address with a password in it", "whoever reads it can log in"),
    "HEALTH_PLAN_NUMBER": ("the number of an insured person", "it leads to claims and diagnoses"),
    "IBAN_CODE": (
        "an international account number with a valid check",
        "it names its holder and can be debited",
    ),
    "IP_ADDRESS": ("a network address", "it names a household or a device at a time"),
    "LOCATION": (
        "a town, county or other place",
        "whatever is smaller than a state identifies, says HIPAA",
    ),
    "MAC_ADDRESS": ("a hardware address", "it follows one device wherever it goes"),
    "MEDICAL_LICENSE": ("the licence of a physician", "it names the physician"),
    "MEDICAL_RECORD_NUMBER": ("the number of a chart", "it leads back into the chart"),
    "NRP": ("nationality, religion or politics", "a special category under GDPR article 9"),
    "ORGANIZATION": ("an employer, hospital or firm", "a small one names its people"),
    "PERSON": ("a person's name", "the first identifier anyone looks for; no pattern finds names"),
    "PHONE_NUMBER": ("a telephone or fax number", "it reaches one person"),
    "PRIVATE_KEY": ("a private key in PEM form", "whoever reads it can sign and decrypt as its owner"),
    "STREET_ADDRESS": ("a street with a house number", "it names a household"),
    "UK_NHS": ("a number of the British health service with a valid check", "it leads to a patient's record"),
    "URL": ("a web address", "it can lead to a person's page, portal or session"),
    "US_BANK_NUMBER": ("an American account number", "it names its holder"),
    "US_DRIVER_LICENSE": ("an American driving licence", "it names its holder"),
    "US_ITIN": ("an American taxpayer number", "it names one person"),
    "US_PASSPORT": ("an American passport number", "it names one person"),
    "US_SSN": ("an American social security number", "it names one person for life"),
    "US_ZIP_CODE": ("an American postal code", "five digits with a date of birth single out most people"),
    "UUID": ("a random identifier", "it links records of one person across systems"),
    "VEHICLE_ID": ("a plate or chassis number", "it names the owner"),
}
