"""Recall on annotated Spanish clinical notes that others wrote: MEDDOCAN (Plan TL, CC BY 4.0), its test set.

    python benchmarks/pii_meddocan.py FOLDER/corpus/test/brat [--missed]

The corpus is fetched by who runs this (github.com/PlanTL-GOB-ES/SPACCC_MEDDOCAN) and no text of it is kept
here. Its test set was not looked at while the rules were written; its training set was. A value counts as
found if a finding of a fitting type covers all of it, and as gone if findings of any types cover it together.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pii_accuracy import lower_end

from mlmguard.corpus.detect import finder

FITTING: dict[str, tuple[str, ...]] = {
    "ID_SUJETO_ASISTENCIA": ("MEDICAL_RECORD_NUMBER", "HEALTH_PLAN_NUMBER", "ES_NIF", "ES_NIE"),
    "ID_ASEGURAMIENTO": ("HEALTH_PLAN_NUMBER",),
    "ID_TITULACION_PERSONAL_SANITARIO": ("PROFESSIONAL_NUMBER",),
    "CALLE": ("STREET_ADDRESS",),
    "NUMERO_TELEFONO": ("PHONE_NUMBER",),
    "NUMERO_FAX": ("PHONE_NUMBER",),
    "CORREO_ELECTRONICO": ("EMAIL_ADDRESS",),
    "FECHAS": ("DATE_OF_BIRTH", "DATE_TIME"),
}
POSTCODE = "POSTAL_CODE"


def annotated(folder: Path) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """(text, values as (label, start, end)) of each note."""
    for path in sorted(folder.glob("*.txt")):
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        values = []
        for line in path.with_suffix(".ann").read_text("utf-8").splitlines():
            number, place, value = line.split("\t", 2)
            label, start, end = place.split()[0], *map(int, place.split()[1:3])
            if label == "TERRITORIO" and value.isdigit() and len(value) == 5:
                label = POSTCODE
            # "the third of five brothers" names a subject, too
            said = any(map(str.isdigit, value)) or label in ("CALLE", "CORREO_ELECTRONICO")
            if label == "FECHAS" and len(value) == 4:
                continue  # a year alone may stay
            if number.startswith("T") and said and label in (*FITTING, POSTCODE):
                values.append((label, start, end))
        yield text, values


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--english", action="store_true", help="without the words of Spanish")
    parser.add_argument("--missed", action="store_true", help="show what was missed, digits as 0")
    options = parser.parse_args()
    find = finder.finder(languages=("en",) if options.english else ("es",)).find
    of, hit, gone = Counter[str](), Counter[str](), Counter[str]()
    for text, values in annotated(options.folder):
        found = find(text)
        covered = {at for s in found for at in range(s.start, s.end)}
        for label, start, end in values:
            fitting = FITTING.get(label, ("POSTAL_CODE", "STREET_ADDRESS"))
            of[label] += 1
            right = any(s.rule in fitting and s.start <= start and s.end >= end for s in found)
            hit[label] += right
            gone[label] += covered.issuperset(at for at in range(start, end) if not text[at].isspace())
            if options.missed and not right:
                shape = "".join("0" if c.isdigit() else c for c in text[max(0, start - 30) : end + 5])
                print("   ", label, repr(shape))
    print("| label | values | found (lower end) | gone |\n|---|---|---|---|")
    for label, n in sorted(of.items()):
        print(
            f"| {label} | {n} | {hit[label] / n:.2f} ({hit[label]}/{n}, {lower_end(hit[label], n):.2f}) | "
            f"{gone[label] / n:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
