# ruff: noqa: E501 (layouts are read across)
"""Recall on text as forms, exports, tables, mails and logs hold it, by language: what the coverage states.

    python benchmarks/pii_forms.py [--each 300] [--seed 18] [--missed]

Labels and layouts were written without looking at the rules and are held out from them; values come from Faker. A
value is found if a finding of its type covers all of it. Beside ours, what stock Presidio finds with its own
recognisers, in the same run. The lower end is of the 95 % interval of Clopper and Pearson. ``--missed`` counts
by label and layout what was missed; no value is printed.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pii_accuracy import SAME, lower_end
from pii_templates import DISTRACTORS, value

from mlmguard.corpus.detect import finder, presidio
from mlmguard.corpus.detect import reference as stock_engine

LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "PHONE_NUMBER": ("Home phone", "Mobile", "Contact telephone", "Next of kin phone", "fax"),
        "EMAIL_ADDRESS": ("E-mail", "Contact email", "reply to", "user"),
        "US_SSN": ("SSN", "Social security number", "patient ssn", "Soc. Sec. No."),
        "IBAN_CODE": ("IBAN", "Bank account", "pay to"),
        "IP_ADDRESS": ("client ip", "Remote address", "host"),
        "URL": ("Homepage", "link", "website"),
        "CREDIT_CARD": ("Card number", "Payment card", "cc number", "Visa"),
        "DATE_OF_BIRTH": ("DOB", "Date of birth", "birth date", "Born"),
        "MEDICAL_RECORD_NUMBER": ("MRN", "Medical record number", "patient id", "Chart no."),
        "VEHICLE_ID": ("License plate", "VIN", "Plate number"),
        "DEVICE_ID": ("Serial number", "IMEI", "Device serial"),
        "MAC_ADDRESS": ("MAC", "hardware address", "station"),
        "PASSPORT": ("Passport", "Passport number", "passport no"),
        "API_KEY": ("api key", "Access token", "secret"),
        "AGE": ("Age", "age at admission", "Patient age"),
        "HEALTH_PLAN_NUMBER": ("Member ID", "Insurance number", "Policy number"),
        "PROFESSIONAL_NUMBER": ("NPI", "License number", "Registration number"),
        "REFERENCE_NUMBER": ("Order number", "Booking reference", "Ticket no."),
    },
    "es": {
        "PHONE_NUMBER": ("Teléfono", "Móvil", "tel. de contacto"),
        "EMAIL_ADDRESS": ("Correo electrónico", "correo"),
        "DATE_OF_BIRTH": ("Fecha de nacimiento", "F. Nac.", "nacido el"),
        "MEDICAL_RECORD_NUMBER": ("NHC", "Historia clínica", "Nº de historia"),
        "HEALTH_PLAN_NUMBER": ("NASS", "Nº de afiliación", "Número de asegurado"),
        "PROFESSIONAL_NUMBER": ("Nº colegiado", "Número de colegiado"),
    },
    "de": {
        "PHONE_NUMBER": ("Telefon", "Handy", "Rufnummer"),
        "EMAIL_ADDRESS": ("E-Mail-Adresse", "Mail"),
        "DATE_OF_BIRTH": ("Geburtsdatum", "geb. am", "geboren am"),
        "MEDICAL_RECORD_NUMBER": ("Patientennummer", "Fallnummer", "Aktenzeichen Patient"),
        "HEALTH_PLAN_NUMBER": ("Versichertennummer", "Krankenversichertennummer"),
        "PROFESSIONAL_NUMBER": ("Arztnummer", "LANR"),
    },
    "fr": {
        "PHONE_NUMBER": ("Téléphone", "Portable", "Tél."),
        "EMAIL_ADDRESS": ("Courriel", "Adresse e-mail"),
        "DATE_OF_BIRTH": ("Date de naissance", "Né le", "Née le"),
        "MEDICAL_RECORD_NUMBER": ("Numéro de dossier", "IPP", "N° patient"),
        "HEALTH_PLAN_NUMBER": ("Numéro de sécurité sociale", "N° d'assuré"),
        "PROFESSIONAL_NUMBER": ("RPPS", "N° ADELI"),
    },
}  # fmt: skip


def _snake(label: str) -> str:
    return re.sub(r"\W+", "_", label.lower()).strip("_")


def _camel(label: str) -> str:
    first, *rest = _snake(label).split("_")
    return first + "".join(word.capitalize() for word in rest)


LAYOUTS: dict[str, tuple[str, ...]] = {
    "form": ("{label}: {v}\nWard: B2", "{label} ........ {v}", "{label}\n    {v}\nSex: F", "[x] {label}  {v}"),
    "JSON": (
        '{{"ward": "B2", "{snake}": "{v}", "open": true}}', '{{"{camel}":"{v}"}}', '"{label}": ["{v}"],',
    ),
    "table": (
        "| {label} | Ward |\n|---|---|\n| {v} | B2 |", "| Ward | B2 |\n| **{label}** | {v} |", "B2\t{label}\t{v}\t17",
        "<tr><td>{label}</td><td>{v}</td></tr>",
    ),
    "mail": (
        "> Hello,\n> my details as asked: {label} {v}.\n> Thanks", "{label} is {v}, please update it.",
        "Could you check {label} ({v}) for me?",
    ),
    "log": ("2024-03-01 INFO update {snake}={v} status=ok", "WARN [{camel}: {v}] retry", "audit: {label}={v}; done"),
}  # fmt: skip


def _value(kind: str, label: str, draw: random.Random) -> str:
    digits = "".join(draw.choice("0123456789") for _ in range(9))
    if kind == "HEALTH_PLAN_NUMBER":
        return draw.choice(("", "W", "AB")) + "1" + digits
    if kind == "PROFESSIONAL_NUMBER":
        return draw.choice(("1", "28", "BK")) + digits[:8]
    if kind == "REFERENCE_NUMBER":
        return draw.choice(("", "KL-", "2024-")) + digits[:7]
    return value(kind, label, draw)


def texts(language: str, kind: str, each: int, seed: int) -> Iterator[tuple[str, int, int, str]]:
    """(text, start, end, "layout / label") of one value of ``kind`` in each."""
    draw = random.Random(f"{seed} {language} {kind}")
    layouts = [(name, one) for name, its in LAYOUTS.items() for one in its]
    labels = LABELS[language][kind]
    for number in range(each):
        layout, template = layouts[number % len(layouts)]
        label = labels[number // len(layouts) % len(labels)]
        one = _value(kind, label, draw)
        before = draw.choice(DISTRACTORS) + "\n"
        filled = template.format(label=label, snake=_snake(label), camel=_camel(label), v="\0")
        at = len(before) + filled.index("\0")
        text = before + filled.replace("\0", one) + "\n" + draw.choice(DISTRACTORS)
        yield text, at, at + len(one), f"{layout} / {label}"


def bare_phones(each: int, seed: int) -> Iterator[tuple[str, int, int, str]]:
    """Ten digits in a row, which nothing but a word beside them tells from an order or a time."""
    draw = random.Random(seed)
    for number in range(each):
        one = f"{draw.randint(201, 989)}{draw.randint(200, 999)}{draw.randint(0, 9999):04}"
        said = ("call {}", "my number is {}", "mobile {}", "{}", "see {} below", "row {} of it")[number % 6]
        at = said.index("{}")
        kind = "a word beside it" if number % 6 < 3 else "no word"
        yield f"{said.replace('{}', one)}\n{draw.choice(DISTRACTORS)}", at, at + 10, kind


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=300)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--missed", action="store_true")
    options = parser.parse_args()
    plain = stock_engine.reference(presidio.recognizers([]))
    find = finder.finder().find

    def covers(found: list[tuple[str, int, int]], kind: str, start: int, end: int) -> bool:
        same = SAME if kind != "DATE_OF_BIRTH" else {"US_PASSPORT": "PASSPORT"}
        return any(same.get(k, k) == kind and a <= start and b >= end for k, a, b in found)

    print("| language | type | layout | ours: recall (lower end) | stock: recall |\n|---|---|---|---|---|")
    for language, its in LABELS.items():
        for kind in its:
            ours, stock, missed = Counter[str](), 0, Counter[str]()
            for text, start, end, where in texts(language, kind, options.each, options.seed):
                found = [(s.rule, s.start, s.end) for s in find(text)]
                theirs = stock_engine.analyze_as_reference(plain, text, finder.THRESHOLD)
                hit = covers(found, kind, start, end)
                ours[where.split(" / ")[0]] += hit
                missed[where] += not hit
                stock += covers([(s.rule, s.start, s.end) for s in theirs], kind, start, end)
            hits = ours.total()
            by_layout = " ".join(f"{name} {ours[name]}" for name in LAYOUTS)
            print(
                f"| {language} | {kind} | {by_layout} | {hits / options.each:.2f} ({hits}/{options.each}, "
                f"{lower_end(hits, options.each):.2f}) | {stock / options.each:.2f} |",
                flush=True,
            )
            if options.missed:
                print("   ", ", ".join(f"{where}: {n}" for where, n in missed.most_common(6) if n))
    bare = Counter[tuple[str, bool]]()
    for text, start, end, said in bare_phones(2 * options.each, options.seed):
        bare[said, covers([(s.rule, s.start, s.end) for s in find(text)], "PHONE_NUMBER", start, end)] += 1
    for said in ("a word beside it", "no word"):
        hits, of = bare[said, True], bare[said, True] + bare[said, False]
        print(f"| en | PHONE_NUMBER, ten digits in a row, {said} | | {hits / of:.2f} ({hits}/{of}) | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
