# ruff: noqa: E501 (an expression is read across)
"""Recognisers of where somebody lives: streets with a number, post boxes and American postal codes."""

from __future__ import annotations

from mlmguard.corpus.detect.labels import after
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser

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

# Suffixes that stand for nothing else behind a number and words without their capitals.
_COMMON = (
    "Street|St|Avenue|Ave|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Highway|Hwy|Freeway|Fwy|Parkway|Pkwy|Terrace|"
    "Circle|Cir|Square|Sq|Trail|Trl|Turnpike|Expressway|Crescent|Alley|Place|Pl|Way"
)
_UNIT = r"(?:,?[ \t]+(?i:apt|apartment|suite|ste|unit|floor|room|rm|flat)\b\.?[ \t]*#?\w{1,6}|,?[ \t]*#[ ]?\w{1,6})?"
_NOT_NAMES = (
    "of|in|the|a|an|and|or|to|for|on|at|from|with|by|is|was|are|were|that|this|as|per|years?|people|men|days?"
)
_NO_WORD = r"(?![^\W_])\.?"
_NAME = r"[A-ZÀ-ÖØ-Þ][\w'’.-]{1,24}"
# A postal code and a town behind a street belong to it.
_PLACE = (
    rf"(?:,[ ](?:[A-Z]{{1,2}}-)?(?:\d{{4}}[ ]?[A-Z]{{2}}|\d{{4,5}}(?:-\d{{3}})?)[ ]{_NAME}(?:[ ]{_NAME})?)?"
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
            rf"{_UNIT}",
            0.7,
        ),
        Pattern(
            "number and street in capitals",
            r"(?<![\w.,$-])\d{1,6}(?:-\d{1,5})?[ ]+(?:(?:[NSEW]|N[EW]|S[EW]|NORTH|SOUTH|EAST|WEST)\.?[ ]+)?"
            r"(?:(?:[A-Z][A-Z'-]*|\d{1,3}(?:ST|ND|RD|TH))[ ]+){1,3}"
            rf"(?:{_COMMON.upper()})\b\.?(?:[ ]+(?:[NSEW]|N[EW]|S[EW])\b)?{_UNIT}",
            0.65,
        ),
        Pattern(
            "number and street in small letters",
            r"(?i)(?<![\w.,$-])\d{1,6}[ ]+(?:(?:[nsew]|n[ew]|s[ew])\.?[ ]+)?(?:[a-z][\w'’-]*[ ]+){1,2}"
            rf"(?:street|avenue|boulevard|blvd){_NO_WORD}{_UNIT}",
            0.45,
        ),
        Pattern(
            "number and abbreviated street in small letters",
            r"(?<![\w.,$-])\d{1,6}[ ]+(?:(?:[nsew]|n[ew]|s[ew])\.?[ ]+)?"
            rf"(?!(?:{_NOT_NAMES})\b)[a-z][a-z'-]{{1,15}}[ ]+(?:(?!(?:{_NOT_NAMES})\b)[a-z][a-z'-]{{1,15}}[ ]+)?"
            rf"(?:st|ave|rd|ln|ct|road|lane|drive){_NO_WORD}{_UNIT}",
            0.45,
        ),
        Pattern(
            "post box",
            r"(?i)\b(?:p\.?[ \t]?o\.?|post[ ]office)[ \t]?box[ \t#]+\d{1,7}\b|\bPMB[ #]+\d{1,6}\b"
            r"|\b(?:apartado(?:[ ]de[ ]correos)?|apdo\.?|postfach|postbus|boîte[ ]postale|casella[ ]postale|caixa[ ]postal)"
            r"[ ]+(?:n[º°o]\.?[ ]?)?\d{1,6}\b",
            0.7,
        ),
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
            r"\b[A-ZÄÖÜ][\w'-]{2,25}(?:straße|strasse|str\.|weg|platz|gasse|allee|ufer|damm|ring|laan|straat|gracht|plein|gatan|"
            rf"vägen|vej|gade|utca)[ \t]+\d{{1,4}}[a-z]?{_NO_WORD}{_PLACE}",
            0.6,
        ),
        Pattern(
            "street with its article before the number",
            rf"\b(?:Am|An der|Im|In der|Zum|Zur|Auf dem|Auf der)[ ]{_NAME}[ ]\d{{1,4}}[a-z]?,[ ]\d{{5}}[ ]{_NAME}",
            0.6,
        ),
        Pattern(
            "street kind after the number",
            r"\b\d{1,4}(?:bis|ter)?,?[ \t]+(?:rue|avenue|boulevard|place|allée|chemin|impasse|quai|calle|rua|via|viale)"
            rf"(?:[ \t]+(?:de|du|des|la|le|del|della|los|las)\b){{0,2}}(?:[ \t]+[A-ZÀ-Ü][\w'’-]*){{1,4}}{_PLACE}",
            0.6,
        ),
        Pattern(
            "street kind before the name and the number",
            r"(?:\b(?i:calle|avenida|avda|av|plaza|paseo|camino|carrer|ronda|travesía|rua|praça|travessa|via|viale|piazza|corso|vicolo|rue)"
            r"\b\.?|(?<!\w)C/)[ ]?(?:(?:de|do|da|del|della|dei|la|el|los|las|l'|d')[ ]?){0,3}"
            rf"{_NAME}(?:[ ](?:(?:de|del|la|y|e)[ ]){{0,2}}{_NAME}){{0,3}},?[ ](?:n[º°.]?[ ]?)?\d{{1,4}}[a-zA-Z]?\b(?![:/])"
            rf"(?:,[ ]\d{{1,2}}[ºª°](?:[ ]?(?:[A-Z]|\d{{1,2}}[ºª]|izda|dcha|izq|dch|esq|dto)\b\.?)?)?{_PLACE}",
            0.65,
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
        "«611 N MOUNTAIN CREEK RD STE 777»",
        "«12 oak ln, apt 4»",
        "vive en «Calle Mayor 5, 3º B, 28013 Madrid»",
        "«Hauptstr. 12, 10115 Berlin»",
        "in «Via Roma 12, 00184 Roma»",
    ),
    leaves=(
        "We met 12 people on the street.",
        "In 2002 Drive C failed.",
        "Chapter 4 The Way of the Road",
        "It took 3 years and one day.",
        "a suite of 12 tests",
        "in 12 of the st",
        "THE 12 BEST WAYS OUT",
        "5 via the gateway",
    ),
)

_ZIP_WORDS = ("zip codes?", "zip3?", "postal code", "postcode")
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
        *after(_ZIP_WORDS, r"\d{5}(?:-\d{4})?(?![.,]\d)", 0.8),
        *after(_ZIP_WORDS, rf"(?:{_RESTRICTED_ZIP3})", 0.8),
    ),
    finds=(
        "Springfield, «IL 62704»",
        "Boston, «MA 02108-1234».",
        "in «New York 10001», third floor",
        "my zip code is «62704»",
        "ZIP3 «036»",
        "Zip code:\n«62704»",
        '{"zip": "«62704»"}',
    ),
    leaves=(
        "zip code 941 of California",
        "it happened in 12345 cases",
        "model XL 62704",
        "IL 627041",
        "CA 12345.67 was booked",
    ),
)
