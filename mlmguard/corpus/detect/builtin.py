"""What we look for beyond Presidio's own recognisers: plain data, each recogniser with its own proof.

A :class:`Recogniser` carries texts it must find (the value between « and ») and texts it must leave. To add
one, write it here and put it in ``RECOGNISERS``; a type that has no row yet gets one in ``entities.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlmguard.corpus.detect.check_digits import luhn
from mlmguard.corpus.detect.identifiers import IDENTIFIERS
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser

# --- words the patterns share -------------------------------------------------------------------------

# Street suffixes of USPS Publication 28, appendix C1, long forms and the abbreviations people write.
_SUFFIXES = (
    "Alley|Annex|Arcade|Avenue|Ave|Av|Bayou|Beach|Bend|Bluffs?|Bottom|Boulevard|Blvd|Branch|Bridge|Brooks?|"
    "Burgs?|Bypass|Camp|Canyon|Cape|Causeway|Centers?|Circles?|Cir|Cliffs?|Club|Common|Corners?|Course|"
    "Courts?|Ct|Coves?|Creek|Crescent|Cres|Crest|Crossing|Crossroad|Curve|Dale|Dam|Divide|Drives?|Dr|"
    "Estates?|Expressway|Expy|Extensions?|Falls?|Ferry|Fields?|Flats?|Fords?|Forest|Forges?|Forks?|Fort|"
    "Freeway|Fwy|Gardens?|Gateway|Glens?|Greens?|Groves?|Harbors?|Haven|Heights|Highway|Hwy|Hills?|Hollow|"
    "Inlet|Islands?|Isle|Junctions?|Keys?|Knolls?|Lakes?|Land|Landing|Lane|Ln|Lights?|Loaf|Locks?|Lodge|"
    "Loop|Mall|Manors?|Meadows?|Mews|Mills?|Mission|Motorway|Mountains?|Mount|Neck|Orchard|Oval|Overpass|"
    "Parks?|Parkways?|Pkwy|Pass|Passage|Path|Pike|Pines?|Place|Pl|Plains?|Plaza|Points?|Ports?|Prairie|"
    "Radial|Ramp|Ranch|Rapids?|Rest|Ridges?|River|Roads?|Rd|Route|Row|Rue|Run|Shoals?|Shores?|Skyway|"
    "Springs?|Spurs?|Squares?|Sq|Station|Stravenue|Stream|Streets?|St|Summit|Terrace|Ter|Throughway|Trace|"
    "Track|Trafficway|Trail|Trailer|Tunnel|Turnpike|Underpass|Unions?|Valleys?|Via(?:duct)?|Views?|Villages?|"
    "Ville|Vista|Walks?|Wall|Ways?|Wells?"
)

_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|F[LM]|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[ARW]|RI|S[CD]|T[NX]|UT|"
    "V[AIT]|W[AIVY]"
)
_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|"
    "Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|"
    "Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|"
    "North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|"
    "Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming"
)

_MONTH = (
    "(?:January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:'\d\d|(?:1[6-9]|20)\d\d)"
_WRITTEN_DATE = (
    rf"(?:{_MONTH}\.?[ -]{_DAY}(?:,?[ -]{_YEAR})?\b"
    rf"|{_DAY}(?: of)?[ -]{_MONTH}\b\.?(?:,?[ -]{_YEAR}\b)?"
    rf"|{_MONTH}\.? {_YEAR}\b)"
)
_NUMERIC_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))\b"


def _digits(low: int, high: int) -> Callable[[str], bool]:
    """A check that a match holds ``low`` to ``high`` digits, an extension not counted."""

    def check(value: str) -> bool:
        number = value.lower().split("x")[0].split("e")[0]
        return low <= sum(c.isdigit() for c in number) <= high

    return check


# --- the recognisers ----------------------------------------------------------------------------------------

INTERNAL_EMAIL = Recogniser(
    entity="EMAIL_ADDRESS",
    name="InternalEmail",
    patterns=(
        Pattern(
            # hosts that no public-suffix list knows and every hospital and bank has (RFC 2606, 6761, 6762)
            "address at an internal host",
            r"(?i)\b[a-z0-9][\w.+'-]{0,63}@(?:[a-z0-9-]{1,63}\.){0,6}"
            r"(?:local|localdomain|localhost|internal|intranet|private|corp|lan|home|example|test|invalid)\b"
            r"(?![.-]?[\w])",
            0.8,
        ),
    ),
    finds=(
        "write to «j.marsh@ward3.hospital.local» today",
        "from «root@localhost» at night",
        "mail «amy+x@corp», or call",
        "«Ann.Lee@mail.bank.internal».",
    ),
    leaves=("look @home tonight", "a@b", "local@ noon", "user@testing-ground"),
)

STREET_ADDRESS = Recogniser(
    entity="STREET_ADDRESS",
    name="StreetAddress",
    patterns=(
        Pattern(
            "number and capitalised street",
            r"\b\d{1,6}[A-Za-z]?(?:-\d{1,5})?[ \t]+"
            r"(?:(?:[NSEW]|N[EW]|S[EW]|North|South|East|West)\.?[ \t]+)?"
            r"(?!The\b)(?:(?:[A-Z][\w'’-]*\.?|\d{1,3}(?:st|nd|rd|th))[ \t]+){1,3}"
            rf"(?:{_SUFFIXES})\b\.?(?:[ \t]+(?:[NSEW]|N[EW]|S[EW])\b\.?)?"
            r"(?:,?[ \t]+(?:Apt|Apartment|Suite|Ste|Unit|Floor|Room|Rm|Flat)\b\.?[ \t]*#?\w{1,6}"
            r"|,?[ \t]*#\w{1,6})?",
            0.7,
        ),
        Pattern(
            "number and street in small letters",
            r"(?i)\b\d{1,6}[ \t]+(?:[a-z][\w'’-]*[ \t]+){1,2}(?:street|avenue|boulevard|blvd)\b",
            0.45,
        ),
        Pattern("post box", r"(?i)\bp\.?[ \t]?o\.?[ \t]?box[ \t]+\d{1,7}\b", 0.7),
        Pattern(
            "military post",
            r"\b(?:PSC|Unit)[ \t]+\d{1,5},?[ \t]+Box[ \t]+\d{1,5}"
            r"(?:[ \t]*\n?[ \t]*(?:APO|DPO|FPO)[ \t]+A[AEP][ \t]+\d{5}\b)?"
            r"|\b(?:APO|DPO|FPO)[ \t]+A[AEP][ \t]+\d{5}\b",
            0.8,
        ),
        Pattern("part of a house", r"\b(?:Apt|Apartment|Suite|Ste)\b\.?[ \t]*#?\d{1,5}[A-Za-z]?\b", 0.5),
        Pattern(
            "street name before the number",
            r"\b[A-ZÄÖÜ][\w'-]{2,25}(?:straße|strasse|str\.|weg|platz|gasse|allee|laan|straat|gatan|vägen|vej|gade|"
            r"utca)[ \t]+\d{1,4}[a-z]?\b",
            0.6,
        ),
        Pattern(
            "street kind after the number",
            r"\b\d{1,4}(?:bis)?,?[ \t]+(?:rue|chemin|impasse|quai|calle|rua|via|viale)"
            r"(?:[ \t]+(?:de|du|des|la|le|del|della|los|las)\b){0,2}(?:[ \t]+[A-ZÀ-Ü][\w'’-]*){1,4}",
            0.6,
        ),
    ),
    finds=(
        "Lives at «12 Oak Street», second door.",
        "Send it to «25723 Mejia Ferry Suite 469», Terrybury.",
        "«1600 N. Lakeshore Dr. Apt 4B» please",
        "moved to «77 Saint John's Place»",
        "He wrote from «P.O. Box 2231».",
        "the flat at «12 main street» is free",
        "at «350 5th Avenue», New York",
        "to «PSC 4821, Box 7713\nAPO AP 96311» please",
        "in «Suite 469», second floor",
        "wohnt «Lindenstraße 14a», hinten",
        "habite «12 rue de la Paix» depuis",
    ),
    leaves=(
        "We met 12 people on the street.",
        "In 2002 Drive C failed.",
        "Chapter 4 The Way of the Road",
        "It took 3 years and one day.",
        "a suite of 12 tests",
        "5 via the gateway",
    ),
)

_ZIP_WORDS = r"\b(?i:zip(?:[ -]?code)?3?|postal code)\b[ \t]*(?:[:=#]|(?i:is|was)\b)?[ \t]*"
# Three digits that stand for 20,000 people or fewer: 45 CFR 164.514(b)(2)(i)(B) makes them 000.
_RESTRICTED_ZIP3 = "036|059|102|203|205|369|556|692|821|823|830|831|878|879|884|890|893"

US_ZIP_CODE = Recogniser(
    entity="US_ZIP_CODE",
    name="ZipWithState",
    patterns=(
        Pattern(
            "abbreviation and ZIP", rf"\b(?:{_STATES})\.?,?[ \t]{{1,2}}\d{{5}}(?:-\d{{4}})?\b(?![.,]\d)", 0.6
        ),
        Pattern("name and ZIP", rf"\b(?:{_STATE_NAMES}),?[ \t]{{1,2}}\d{{5}}(?:-\d{{4}})?\b(?![.,]\d)", 0.6),
        Pattern("number after the words", rf"{_ZIP_WORDS}\K\d{{5}}(?:-\d{{4}})?\b(?![.,]\d)", 0.8),
        Pattern("three restricted digits after the words", rf"{_ZIP_WORDS}\K(?:{_RESTRICTED_ZIP3})\b", 0.8),
    ),
    finds=(
        "Springfield, «IL 62704»",
        "Boston, «MA 02108-1234».",
        "in «New York 10001», third floor",
        "my zip code is «62704»",
        "ZIP3 «036»",
    ),
    leaves=(
        "zip code 941 of California",
        "it happened in 12345 cases",
        "model XL 62704",
        "IL 627041",
        "CA 12345.67 was booked",
    ),
)

DATE_OF_BIRTH = Recogniser(
    entity="DATE_OF_BIRTH",
    name="DateOfBirth",
    patterns=(
        Pattern(
            "date after the words",
            r"\b(?i:date of birth|birth[ -]?date|birthday|d\.?o\.?b\b\.?|born)"
            r"[ \t]*(?:[:=(-]|(?:is|was|on|in)\b)?[ \t]*\K"
            rf"(?:{_NUMERIC_DATE}|{_WRITTEN_DATE})",
            1.0,
        ),
    ),
    finds=(
        "Jane, date of birth «March 19, 1931», complains",
        "DOB: «02/06/31»",
        "born on «26 Feb 1931» in Ohio",
        "D.O.B. «1984-07-02»",
        "Her birthday is «3rd of May 1990».",
    ),
    leaves=("born to run", "the date was fine", "a newborn, 3 pounds"),
)

WRITTEN_DATE = Recogniser(
    entity="DATE_TIME",
    name="WrittenDate",
    patterns=(
        Pattern("month in letters", rf"\b{_WRITTEN_DATE}", 0.55),
        Pattern("date and time", r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,6})?Z?\b", 0.7),
    ),
    finds=(
        "seen on «June 15, 2022» again",
        "on «26 Feb 1931».",
        "by «3rd of March» at last",
        "Date: Mon, «12 Aug 2002» 10:11:12",
        "since «January 05, 2022»",
        "in «October 1999» he left",
        "at «2022-06-15 08:30:12» sharp",
    ),
    leaves=("may 5 people come in?", "March on Washington", "He may come.", "Section 12 Maybe"),
)


MASTERCARD_2 = Recogniser(
    entity="CREDIT_CARD",
    name="MastercardTwoSeries",  # issued since 2017; presidio-analyzer 2.2.366 does not know it
    patterns=(
        Pattern("2221 to 2720", r"\b2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)(?:[- ]?\d{4}){3}\b", 0.9),
    ),
    valid=luhn,
    finds=("paid by «2221 0000 0000 0009» then", "card «2720992222222229»."),
    leaves=("2221 0000 0000 0008", "2220990000000000", "22210000000000090"),
)

MEDICAL_RECORD_NUMBER = Recogniser(
    entity="MEDICAL_RECORD_NUMBER",
    name="MedicalRecordNumber",
    patterns=(
        Pattern(
            "number after the words",
            r"\b(?i:mrn|m\.r\.n\.|(?:medical|patient|health) (?:record|chart|id|file)|chart|patient)"
            r"(?i:[ \t]*(?:number|no\b\.?|num\b\.?|id|#))?[ \t]*(?:[:=#-]|is\b|was\b)?[ \t]*\K"
            r"(?:[A-Z]{1,3}-?)?\d(?:-?\d){4,13}\b",
            0.85,
        ),
        Pattern("number glued to MRN", r"\bMRN\K\d{5,12}\b", 0.85),
    ),
    finds=(
        "(MRN «4482913»)",
        "medical record number «7719234».",
        "MRN: «00-482-913» today",
        "Patient ID: «PT-882211»",
        "MRN#«5519021»",
        "file MRN«4482913»",
    ),
    leaves=(
        "the patient 12 years ago",
        "record number of visitors: many",
        "MRN was not known",
        "chart 3 shows",
    ),
)

API_KEY = Recogniser(
    entity="API_KEY",
    name="ApiKey",
    patterns=(
        Pattern("AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", 0.9),
        Pattern("GitHub token", r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_\w{22,})\b", 0.95),
        Pattern("GitLab token", r"\bglpat-[\w-]{20,}", 0.95),
        Pattern("Slack token", r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}", 0.95),
        Pattern("Google key", r"\bAIza[\w-]{35}(?![\w-])", 0.95),
        Pattern("secret key with prefix", r"\b[sr]k[-_](?:live|test|proj|ant)?[-_]?[0-9A-Za-z_-]{20,}", 0.8),
        Pattern("token of a hub or registry", r"\b(?:hf_|npm_|pypi-|dop_v1_|shpat_)[0-9A-Za-z_-]{20,}", 0.95),
        Pattern("SendGrid key", r"\bSG\.[\w-]{16,32}\.[\w-]{16,64}", 0.95),
        Pattern("storage account key", r"\bAccountKey=\K[0-9A-Za-z+/]{40,}={0,2}", 0.95),
        Pattern(
            "value after the words",
            r"(?i)\b(?:password|passwd|pwd|passphrase|secret|api[_ -]?key|access[_ -]?key|auth[_ -]?token)\b"
            r"[\"']?[ \t]{0,2}(?:[:=]|is\b)[ \t]{0,2}[\"']?\K(?=[^\s\"'<>]*\d)[^\s\"'<>]{6,80}",
            0.7,
        ),
        Pattern("JSON web token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}", 0.9),
    ),
    finds=(
        "key «AKIAIOSFODNN7EXAMPLE» leaked",
        "token «" + "ghp_" + "0aB" * 12 + "».",
        "use «" + "sk-" + "proj-" + "abcd1234" * 3 + "» here",
        "«" + "AIza" + "x" * 35 + "»",
        "export T=«" + "hf_" + "a1B2" * 8 + "»",
        "«SG." + "a1B2" * 5 + "." + "c3D4" * 10 + "»",
        "the password is «hunter22secret»",
    ),
    leaves=(
        "password: required",
        "the secret is out",
        "AKIA is a prefix",
        "ask-me-anything-about-gardening",
        "task_list_of_the_whole_department",
    ),
)

PRIVATE_KEY = Recogniser(
    entity="PRIVATE_KEY",
    name="PrivateKey",
    patterns=(
        Pattern(
            "PEM block",
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]|-(?!----)){0,20000}(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
            0.99,
        ),
    ),
    finds=("x «-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA " + "PRIVATE KEY-----» y",),
    leaves=("-----BEGIN PUBLIC KEY-----", "my private key is in the safe"),
)

_PHONE_WORDS = (
    "phone", "phones", "telephone", "tel", "cell", "cellphone", "mobile", "call", "calls", "called",
    "calling", "ring", "rang", "fax", "reach", "reached", "reachable", "dial", "dialled", "dialed",
    "text", "texted", "sms", "whatsapp", "contact", "number", "hotline", "helpline",
    "voicemail", "landline", "answer", "answering",
)  # fmt: skip

WRITTEN_PHONE = Recogniser(
    entity="PHONE_NUMBER",
    name="WrittenPhone",
    patterns=(
        Pattern(
            "North American",
            r"(?<![\w.+-])(?:\+?1[-. ]{0,2})?(?:\(\d{3}\)[ -]?|\d{3}[-. ])\d{3}[-. ]\d{4}"
            r"(?:,?[ ]?(?:x|ext\.?|extension)[ ]?\d{1,6})?(?![\w]|[-.]\d)",
            0.6,
        ),
        Pattern(
            "international with plus or 00",
            r"(?<![\w.])(?!\d{3}-\d{2}-\d{4}\b)(?:\+|00)[1-9]\d{0,2}(?:[-. ]{0,2}\(\d{1,4}\))?"
            r"(?:[-. /]{0,2}\d{1,5}){2,6}"
            r"(?:,?[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w]|[-.]\d)",
            0.55,
        ),
        Pattern(
            "groups of digits",
            r"(?<![\w.+/-])(?!\d{3}-\d{2}-\d{4}\b)\(?0?\d{2,4}\)?[-. /]{1,2}\d{2,4}(?:[-. ]\d{2,4}){1,4}"
            r"(?:,?[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w]|[-./]\d)",
            0.15,
        ),
        Pattern("bare digits", r"(?<![\w.+-])0?\d{7,10}(?![\w]|[-.]\d)", 0.05),
        Pattern("two groups", r"(?<![\w.+/-])\(?\d{2,4}\)?[-. /]{1,2}\d{4,8}(?![\w]|[-./,]\d)", 0.05),
        Pattern(
            "before the word that says so",
            r"(?<![\w.+/-])(?!\d{3}-\d{2}-\d{4}\b)(?:\+|\()?\d(?:(?:[-./ ]|\)[ ]?|[ ]?\()?\d){5,13}"
            r"(?:,?[ ]?(?:x|ext\.?)[ ]?\d{1,6})?"
            r"(?=[ \t]?[-–(]?[ \t]?"
            r"(?i:office|fax|mobile|cell|phone|telephone|tel|landline|hotline|home|work)\b)",
            0.6,
        ),
    ),
    context=_PHONE_WORDS,
    valid=_digits(7, 15),
    finds=(
        "ring «443.555.0115» today",
        "at «(217) 555-0135», but",
        "«+1 347 555 0110» about",
        "«405-555-0136 ext. 535» after lunch",
        "London office «+44 20 7946 0958».",
        "dial «0049 30 901820» from there",
        "call «020 7946 0958» now",
        "my cell is «2175550135»",
        "«2987 0409» office",
        "«0871 310 2244»-Fax, second floor",
        "Phone: «070 1928115»",
    ),
    leaves=(
        "1.2.840.113549.1.9.16",
        "pages 217-555 and 600",
        "in 2002 2003 2004 2005 we grew",
        "order 84420135 shipped",
        "version 3.14.159",
        "my number is 009-42-7491",
        "ring 12-13 times",
    ),
)

RECOGNISERS: Mapping[str, Recogniser] = {
    one.name: one
    for one in (
        INTERNAL_EMAIL,
        STREET_ADDRESS,
        US_ZIP_CODE,
        DATE_OF_BIRTH,
        WRITTEN_DATE,
        MASTERCARD_2,
        MEDICAL_RECORD_NUMBER,
        API_KEY,
        PRIVATE_KEY,
        WRITTEN_PHONE,
        *IDENTIFIERS,
    )
}
