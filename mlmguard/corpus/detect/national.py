# ruff: noqa: E501 (an expression is read across)
"""Identifiers of countries for which Presidio has no recogniser: each with its check digits, ours to keep."""

from __future__ import annotations

from collections.abc import Mapping

from mlmguard.corpus.detect.labels import BETWEEN_ABROAD, OF, after
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser


def _digits(value: str) -> list[int]:
    return [int(c) for c in value if c.isdigit()]


def _nir(value: str) -> bool:
    """The key of a French number: 97 less the rest of the thirteen before it; Corsica's letters are numbers."""
    plain = value.replace(" ", "").upper().replace("2A", "19").replace("2B", "18")
    return plain.isdigit() and len(plain) == 15 and 97 - int(plain[:13]) % 97 == int(plain[13:])


def _nif(value: str) -> bool:
    """The check digit of a Portuguese tax number, modulo 11."""
    digits = _digits(value)
    rest = sum(d * w for d, w in zip(digits, range(9, 1, -1))) % 11
    return len(digits) == 9 and digits[8] == (0 if rest < 2 else 11 - rest)


def _bsn(value: str) -> bool:
    """The Dutch test by eleven: the last digit counts as taken away."""
    digits = _digits(value)
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return len(digits) == 9 and any(digits) and sum(d * w for d, w in zip(digits, weights)) % 11 == 0


FR_NIR = Recogniser(
    entity="FR_NIR",
    name="FrenchNir",
    patterns=(
        Pattern(
            "thirteen digits and their key",
            r"(?<![\w.-])[12378][ ]?\d{2}[ ]?(?:0[1-9]|1[0-2]|[2-9]\d)[ ]?(?:\d{2}|2[AB])[ ]?\d{3}[ ]?\d{3}[ ]?\d{2}(?![\w]|[.-]\d)",
            0.9,
        ),
    ),
    valid=_nir,
    finds=("assurée «2 85 05 78 006 084 41», suivie", "NIR «285057800608441»."),
    leaves=("2 85 05 78 006 084 92", "commande 285057800608490"),
)  # fmt: skip

PT_NIF = Recogniser(
    entity="PT_NIF",
    name="PortugueseNif",
    patterns=after(
        ("n\\.?i\\.?f\\.?", "contribuinte", "(?:número|identificação) fiscal"),
        r"\d{3}[ .]?\d{3}[ .]?\d{3}",
        0.95,
        between=OF + BETWEEN_ABROAD,
    ),
    valid=_nif,
    finds=("NIF: «123456789»", "contribuinte n.º «501 964 843»"),
    leaves=("NIF: 123456780", "contribuinte desde 1999"),
)

NL_BSN = Recogniser(
    entity="NL_BSN",
    name="DutchBsn",
    patterns=after(
        ("bsn(?: ?(?:nummer|nr))?", "burgerservice ?(?:nummer|nr)", "sofi ?(?:nummer|nr)"),
        r"\d{4}[ .]?\d{2}[ .]?\d{3}",
        0.95,
        between=OF + BETWEEN_ABROAD,
    ),
    valid=_bsn,
    finds=("BSN: «111222333»", "burgerservicenummer «1234.56.782»"),
    leaves=("BSN: 111222334", "bsn onbekend"),
)

NATIONAL: Mapping[str, tuple[Recogniser, ...]] = {"fr": (FR_NIR,), "pt": (PT_NIF,), "nl": (NL_BSN,)}
"""Country code -> ours for it."""
