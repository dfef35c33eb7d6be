# ruff: noqa: E501 (layouts are read across)
"""Recall on text as forms, exports, tables, mails and logs hold it, by language: what the coverage states.

    python benchmarks/pii_forms.py [--each 300] [--seed 18] [--missed] [--only es]

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

import pii_notes
from pii_accuracy import lower_end
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
        "PHONE_NUMBER": ("Teléfono", "Móvil", "tel. de contacto", "Tfno. fijo"),
        "EMAIL_ADDRESS": ("Correo electrónico", "correo"),
        "DATE_OF_BIRTH": ("Fecha de nacimiento", "F. Nac.", "nacido el"),
        "MEDICAL_RECORD_NUMBER": ("NHC", "Historia clínica", "Nº de historia"),
        "HEALTH_PLAN_NUMBER": ("NASS", "Nº de afiliación", "Número de asegurado"),
        "PROFESSIONAL_NUMBER": ("Nº colegiado", "Número de colegiado"),
        "POSTAL_CODE": ("Código postal", "CP", "C.P."),
        "STREET_ADDRESS": ("Domicilio", "Dirección", "Calle"),
        "AGE": ("Edad", "Edad del paciente"),
    },
    "de": {
        "PHONE_NUMBER": ("Telefon", "Handy", "Rufnummer", "Tel. privat"),
        "EMAIL_ADDRESS": ("E-Mail-Adresse", "Mail"),
        "DATE_OF_BIRTH": ("Geburtsdatum", "geb. am", "geboren am"),
        "MEDICAL_RECORD_NUMBER": ("Patientennummer", "Fallnummer", "Aktenzeichen Patient"),
        "HEALTH_PLAN_NUMBER": ("Versichertennummer", "Krankenversichertennummer"),
        "PROFESSIONAL_NUMBER": ("Arztnummer", "LANR"),
        "POSTAL_CODE": ("PLZ", "Postleitzahl"),
        "STREET_ADDRESS": ("Anschrift", "Wohnort", "Adresse"),
        "AGE": ("Alter", "Alter bei Aufnahme"),
    },
    "fr": {
        "PHONE_NUMBER": ("Téléphone", "Portable", "Tél.", "Téléphone du domicile"),
        "EMAIL_ADDRESS": ("Courriel", "Adresse e-mail"),
        "DATE_OF_BIRTH": ("Date de naissance", "Né le", "Née le"),
        "MEDICAL_RECORD_NUMBER": ("Numéro de dossier", "IPP", "N° patient"),
        "HEALTH_PLAN_NUMBER": ("Numéro de sécurité sociale", "N° d'assuré"),
        "PROFESSIONAL_NUMBER": ("RPPS", "N° ADELI"),
        "POSTAL_CODE": ("Code postal", "CP"),
        "STREET_ADDRESS": ("Adresse", "Domicile"),
        "AGE": ("Âge", "Âge du patient"),
    },
    "it": {
        "PHONE_NUMBER": ("Telefono", "Cellulare", "Recapito telefonico"),
        "EMAIL_ADDRESS": ("Posta elettronica", "Indirizzo e-mail"),
        "DATE_OF_BIRTH": ("Data di nascita", "Nato il", "nata il"),
        "MEDICAL_RECORD_NUMBER": ("Numero cartella", "Cartella clinica", "ID paziente"),
        "HEALTH_PLAN_NUMBER": ("Tessera sanitaria", "Numero assicurato"),
        "PROFESSIONAL_NUMBER": ("Numero iscrizione albo", "N. iscrizione"),
        "POSTAL_CODE": ("CAP", "Codice postale"),
        "STREET_ADDRESS": ("Indirizzo", "Residenza"),
        "AGE": ("Età", "Età del paziente"),
    },
    "pt": {
        "PHONE_NUMBER": ("Telefone", "Telemóvel", "Contacto telefónico"),
        "EMAIL_ADDRESS": ("Correio eletrónico", "E-mail"),
        "DATE_OF_BIRTH": ("Data de nascimento", "Nascido a", "Nascida em"),
        "MEDICAL_RECORD_NUMBER": ("Número de processo", "Processo clínico", "N.º do doente"),
        "HEALTH_PLAN_NUMBER": ("Número de utente", "N.º de beneficiário"),
        "PROFESSIONAL_NUMBER": ("Cédula profissional", "N.º da Ordem"),
        "POSTAL_CODE": ("Código postal", "CEP"),
        "STREET_ADDRESS": ("Morada", "Endereço"),
        "AGE": ("Idade", "Idade do doente"),
    },
    "nl": {
        "PHONE_NUMBER": ("Telefoon", "Mobiel", "Telefoonnummer thuis"),
        "EMAIL_ADDRESS": ("E-mailadres", "Mailadres"),
        "DATE_OF_BIRTH": ("Geboortedatum", "Geboren op", "geb."),
        "MEDICAL_RECORD_NUMBER": ("Patiëntnummer", "Dossiernummer", "Patiënt-ID"),
        "HEALTH_PLAN_NUMBER": ("Verzekerdennummer", "Polisnummer"),
        "PROFESSIONAL_NUMBER": ("BIG-nummer", "AGB-code"),
        "POSTAL_CODE": ("Postcode",),
        "STREET_ADDRESS": ("Adres", "Woonadres"),
        "AGE": ("Leeftijd", "Leeftijd bij opname"),
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


_PLACES = {type_: place for place, type_ in pii_notes.TYPES.items()}


def _value(language: str, kind: str, label: str, draw: random.Random) -> str:
    if language != "en" and kind in _PLACES:
        return pii_notes.value(language, _PLACES[kind], draw)
    if language != "en" and kind == "EMAIL_ADDRESS":
        return pii_notes.emails(language, draw)
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
        one = _value(language, kind, label, draw)
        before = draw.choice(DISTRACTORS) + "\n"
        filled = template.format(label=label, snake=_snake(label), camel=_camel(label), v="\0")
        at = len(before) + filled.index("\0")
        text = before + filled.replace("\0", one) + "\n" + draw.choice(DISTRACTORS)
        yield text, at, at + len(one), f"{layout} / {label}"


def in_notes(language: str, each: int, seed: int) -> dict[str, list[tuple[str, int, int, str]]]:
    """The same of whole notes of a clinic, by type: at least ``each`` values of the rarest."""
    found: dict[str, list[tuple[str, int, int, str]]] = {type_: [] for type_ in pii_notes.TYPES.values()}
    for number, (text, spans) in enumerate(pii_notes.notes(language, seed)):
        if min(map(len, found.values())) >= each:
            break
        for kind, start, end in spans:
            if len(found[kind]) < each:
                of = number % len(pii_notes.NOTES[language]) + 1
                found[kind].append((text, start, end, f"notes / template {of}"))
    return found


def bare_phones(each: int, seed: int) -> Iterator[tuple[str, int, int, str]]:
    """Ten digits in a row, which nothing but a word beside them tells from an order or a time."""
    draw = random.Random(seed)
    for number in range(each):
        one = f"{draw.randint(201, 989)}{draw.randint(200, 999)}{draw.randint(0, 9999):04}"
        said = ("call {}", "my number is {}", "mobile {}", "{}", "see {} below", "row {} of it")[number % 6]
        at = said.index("{}")
        kind = "a word beside it" if number % 6 < 3 else "no word"
        yield f"{said.replace('{}', one)}\n{draw.choice(DISTRACTORS)}", at, at + 10, kind


def covers(found: list[tuple[str, int, int]], kind: str, start: int, end: int) -> bool:
    return any(k in _AS_GOOD.get(kind, (kind,)) and a <= start and b >= end for k, a, b in found)


# Names of one type, Presidio's among them; a postal code is a part of an address.
_AS_GOOD = {
    "PASSPORT": ("PASSPORT", "US_PASSPORT"),
    "URL": ("URL", "DOMAIN_NAME"),
    "POSTAL_CODE": ("POSTAL_CODE", "STREET_ADDRESS"),
    "PROFESSIONAL_NUMBER": ("PROFESSIONAL_NUMBER", "DE_LANR", "DE_BSNR"),
    "HEALTH_PLAN_NUMBER": ("HEALTH_PLAN_NUMBER", "DE_HEALTH_INSURANCE", "DE_SOCIAL_SECURITY", "FR_NIR"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=300)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--only", choices=(*LABELS,), action="append", help="one language")
    parser.add_argument("--no-stock", action="store_true", help="ours alone")
    options = parser.parse_args()
    plain = stock_engine.reference(presidio.recognizers([]))
    print(
        "| language | text | type | by layout | ours: recall (lower end) | stock: recall |\n|---|---|---|---|---|---|"
    )
    for language in options.only or LABELS:
        find = _finder(language).find
        sets: list[tuple[str, str, list[tuple[str, int, int, str]]]] = [
            ("forms", kind, list(texts(language, kind, options.each, options.seed)))
            for kind in LABELS[language]
        ]
        if language in pii_notes.NOTES:
            its = in_notes(language, options.each, options.seed)
            sets += [("notes", kind, its[kind]) for kind in its]
        for text_kind, kind, its_texts in sets:
            ours, stock, missed = Counter[str](), 0, Counter[str]()
            for text, start, end, where in its_texts:
                hit = covers([(s.rule, s.start, s.end) for s in find(text)], kind, start, end)
                ours[where.split(" / ")[0]] += hit
                missed[where] += not hit
                if not options.no_stock:
                    theirs = stock_engine.analyze_as_reference(plain, text, finder.THRESHOLD)
                    stock += covers([(s.rule, s.start, s.end) for s in theirs], kind, start, end)
            hits, of = ours.total(), len(its_texts)
            print(
                f"| {language} | {text_kind} | {kind} | {' '.join(f'{name} {n}' for name, n in ours.items())} | "
                f"{hits / of:.2f} ({hits}/{of}, {lower_end(hits, of):.2f}) | "
                f"{'' if options.no_stock else f'{stock / of:.2f}'} |",
                flush=True,
            )
            if options.missed:
                print("   ", ", ".join(f"{where}: {n}" for where, n in missed.most_common(8) if n))
    find = finder.finder().find
    bare = Counter[tuple[str, bool]]()
    for text, start, end, said in bare_phones(2 * options.each, options.seed):
        bare[said, covers([(s.rule, s.start, s.end) for s in find(text)], "PHONE_NUMBER", start, end)] += 1
    for said in ("a word beside it", "no word"):
        hits, of = bare[said, True], bare[said, True] + bare[said, False]
        print(f"| en | | PHONE_NUMBER, ten digits in a row, {said} | | {hits / of:.2f} ({hits}/{of}) | |")
    return 0


def _finder(language: str) -> finder.Finder:
    """The detectors of a scan of this language."""
    return finder.finder(languages=(language,))


if __name__ == "__main__":
    sys.exit(main())
