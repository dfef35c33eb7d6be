"""Numbers that check themselves."""

from __future__ import annotations


def luhn(value: str) -> bool:
    """Return the check digit of payment cards and of IMEIs."""
    digits = [int(c) for c in value if c.isdecimal()]
    return sum(digits[-1::-2]) % 10 == -sum(sum(divmod(2 * d, 10)) for d in digits[-2::-2]) % 10


def mod_97(value: str) -> bool:
    """ISO 7064: the check digits of an account number."""
    return rest_97("".join(c for c in value if c.isalnum())) == 1


def rest_97(plain: str) -> int:
    """What is left of an account number (letters and digits only), its check digits moved to the end."""
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97


def vin(value: str) -> bool:
    """Return the check digit of a vehicle identification number (49 CFR 565.15)."""
    letters = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10))))
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum(w * (int(c) if c.isdigit() else letters[c]) for w, c in zip(weights, value)) % 11
    return value[8] == ("X" if rest == 10 else str(rest)) and not value.isdigit() and not value.isalpha()
