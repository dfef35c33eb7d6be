"""The scan's findings against stock Presidio's: the same, and how much faster.

    python benchmarks/pii_throughput.py ../shared/data            # all of it: half an hour, stock's mostly
    python benchmarks/pii_throughput.py ../shared/data --every 20 # each twentieth document and line

Stock is ``AnalyzerEngine`` with the same recognisers, threshold, words and whole-word context, in the same
process, one text after the other, by CPU time. Findings are compared on the folded text, before seams and
surroundings are looked at and overlaps resolved: start, end, type and score. "whole" is all that a scan does
to find: folding, finding, seams, surroundings. Of equal lines one is looked at. No text is printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlmguard.corpus.detect import finder, presidio
from mlmguard.corpus.detect import reference as stock_engine
from mlmguard.corpus.detect.folding import fold
from mlmguard.corpus.detect.installed import recognisers
from mlmguard.corpus.detect.spans import Span

csv.field_size_limit(1 << 30)


def mail(data: Path) -> Iterator[str]:
    for path in sorted((data / "mail").rglob("*.txt")):
        raw = path.read_bytes()
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError:
            yield raw.decode("latin-1")


def prose(data: Path) -> Iterator[str]:
    for path in sorted((data / "prose" / "peps").iterdir()):
        yield path.read_text("utf-8")
    for name in ("nih_exporter", "uspto_backgrounds"):
        with (data / "prose" / f"{name}.jsonl").open(encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines)


def clinical(data: Path) -> Iterator[str]:
    for path in sorted((data / "clinical").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                yield "\n".join(value or "" for value in row.values())


def labelled(data: Path) -> Iterator[str]:
    for row in json.loads((data / "pii" / "generated_large.json").read_text("utf-8")):
        yield row["full_text"]
    for path in sorted((data / "pii" / "wnut17").rglob("*")):
        if path.is_file():
            yield path.read_text("utf-8")


# Lists of suffixes and of telephone numbers are read at the first value, before the clock runs.
_WARM = "kim@old-mill.example.org, www.example.org, +1 212 555 0112, +49 30 901820, SSN 512-46-7183"

CORPORA: dict[str, Callable[[Path], Iterator[str]]] = {
    "prose": prose,
    "mail": mail,
    "clinical": clinical,
    "pii": labelled,
}


def compare(name: str, texts: list[str], engines: dict[str, Callable[[str], list[Span]]]) -> int:
    """Print one row; how many texts have other findings than stock's."""
    whole = finder.finder()
    spent = dict.fromkeys((*engines, "whole"), 0.0)
    differing = found = 0
    began = time.monotonic()
    for raw in texts:
        started = time.process_time()
        whole.find(raw)
        spent["whole"] += time.process_time() - started
        text = fold(raw).text
        answers = []
        for engine, find in engines.items():
            started = time.process_time()
            answers.append(find(text))
            spent[engine] += time.process_time() - started
        differing += any(answer != answers[0] for answer in answers[1:])
        found += len(answers[0])
    size = sum(map(len, texts)) / 1e6
    rates = {engine: size / seconds for engine, seconds in spent.items()}
    print(
        f"{name:18} {len(texts):8} texts {size:7.2f} M characters {found:8} findings  {differing:4} differ  "
        + "  ".join(f"{engine} {rate:.3f} MB/s" for engine, rate in rates.items())
        + "  "
        + "  ".join(f"{engine}/stock {rates[engine] / rates['stock']:.1f}" for engine in list(rates)[1:])
        + f"  ({time.monotonic() - began:.0f} s)",
        flush=True,
    )
    return differing


def cost_by_size(data: Path, find: Callable[[str], list[Span]]) -> None:
    """CPU time for each character of documents of 10 and of 200 KB, cut from the same text."""
    for name in ("prose", "mail"):
        whole = "\n".join(CORPORA[name](data))[:2_000_000]
        costs = {}
        for size in (10_000, 200_000, 10_000, 200_000):
            started = time.process_time()
            for start in range(0, len(whole) - 200_000, 200_000):
                for at in range(start, start + 200_000, size):
                    find(whole[at : at + size])
            spent = (time.process_time() - started) / (len(whole) - 200_000)
            costs[size] = min(spent, costs.get(size, spent))
        print(
            f"{name}: {costs[10_000] * 1e9:.0f} ns a character at 10 KB, "
            f"{costs[200_000] * 1e9:.0f} at 200 KB, ratio {costs[200_000] / costs[10_000]:.2f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="look at each n-th text only")
    parser.add_argument("--only", choices=CORPORA, help="one corpus")
    parser.add_argument("--presidio-only", action="store_true", help="Presidio's recognisers without ours")
    parser.add_argument("--lines", choices=("no", "also", "only"), default="also")
    options = parser.parse_args()
    finder.finder().find(_WARM)
    recognizers = presidio.recognizers([] if options.presidio_only else recognisers())
    stock = stock_engine.reference(recognizers)
    by_numpy = presidio.Engine(recognizers, hyperscan=False)
    engines: dict[str, Callable[[str], list[Span]]] = {
        "stock": lambda text: stock_engine.analyze_as_reference(stock, text, finder.THRESHOLD),
        "ours": lambda text: by_numpy.analyze(text, finder.THRESHOLD),
    }
    try:
        by_hyperscan = presidio.Engine(recognizers, hyperscan=True)
        engines["hyperscan"] = lambda text: by_hyperscan.analyze(text, finder.THRESHOLD)
    except ImportError:
        print("hyperscan is not installed: numpy only")
    differing = 0
    for name, read in CORPORA.items():
        if options.only not in (None, name):
            continue
        texts = list(read(options.data))
        if options.lines != "only":
            differing += compare(name, texts[:: options.every], engines)
        if options.lines != "no":
            lines = sorted({line for text in texts for line in text.splitlines()})
            differing += compare(f"{name}, lines", lines[:: options.every], engines)
    print(f"texts whose findings differ from stock Presidio's: {differing}")
    if options.only is None and options.lines != "only":
        cost_by_size(options.data, engines["ours"])
    return min(1, differing)


if __name__ == "__main__":
    sys.exit(main())
