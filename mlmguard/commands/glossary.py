"""Entity types and hazards in plain words: what each is, why it matters, what to do about it."""

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

#: Hazard to (what can be hollow, what to do).
HAZARDS: Mapping[str, tuple[str, str]] = {
    "batch-mixing": (
        "a layer that mixes the records of a batch lets one of them change the gradients of the others",
        "use an architecture without batch statistics; mlmguard refuses the others",
    ),
    "clipping": (
        "if a record can move the sum of gradients by more than C, the noise is too small for it",
        "nothing while the self-check at the start of the run holds; report it if it does not",
    ),
    "damaged-input": (
        "rows of a file that is not what the scan wrote would be rows that nobody scanned",
        "files that differ are left out and the claim is for the others; scan again for all of them",
    ),
    "floating-point": (
        "noise drawn in floating point is not exactly Gaussian, and its gaps can tell",
        "publish weights rounded, and not gradients; a discrete sampler is the cure",
    ),
    "initial-weights": (
        "what the initial checkpoint was trained on is outside the claim",
        "start from a model whose training text is public or is not about your people",
    ),
    "non-private-releases": (
        "a release without privacy from the same records voids what the private one promised",
        "do not release the other run, or say that the claim is void",
    ),
    "normaliser": (
        "dividing by the size of the draw instead of a public number tells the size",
        "nothing: the normaliser is fixed before training",
    ),
    "precision": (
        "gradients in low precision are rounded, by more than the noise was made for",
        "train in fp32 where the claim must hold to the letter",
    ),
    "preprocessing": (
        "deduplication couples records: removing one lets a copy of it in",
        "read the claim as one about the rows of clean/train, not about the raw corpus",
    ),
    "random-numbers": (
        "noise from a generator that can be predicted can be subtracted",
        "keep the machine's entropy source, and never seed a private run",
    ),
    "reports": (
        "losses, metrics and audits are computed from private text and are not covered by ε",
        "treat reports like the corpus",
    ),
    "resumption": (
        "a step that is run twice spends twice",
        "nothing: a step is charged before its noise is drawn and is never run again",
    ),
    "run-folder": (
        "canaries, places of personal data and metrics on private text lie in the run folder",
        "keep .mlmguard/ at mode 0700 on the machine that trained; mlmguard doctor checks it",
    ),
    "sampling-mismatch": (
        "an accountant that assumes Poisson draws says nothing of shuffled batches",
        "nothing: the sampler is the one the accountant assumes; see the draws in the statement",
    ),
    "size-dependence": (
        "settings derived from the exact number of records tell it",
        "let the noised count stand, or make sure that the size given as public is public",
    ),
    "steps": (
        "stopping when a private loss looks good is a choice made on private text",
        "nothing: the number of steps is fixed before the first",
    ),
    "timing": (
        "how long a step takes can tell how many records it drew",
        "keep clocks and logs of the training machine away from who gets the model",
    ),
    "tokenizer": (
        "a vocabulary learnt from private text holds its words, whatever the weights do",
        "use the shipped tokenizer, or one learnt with privacy",
    ),
    "tuning": (
        "choosing among runs on the same records spends as well",
        "choose settings on public text, or compose all runs: mlmguard ledger",
    ),
    "unit-smaller-than-person": (
        "a person with many records is protected for each of them, not for all",
        "name the person's column with --unit-key when you scan",
    ),
    "validation": (
        "held-out numbers speak of held-out people",
        "treat them like the corpus; they are not in the claim",
    ),
}
