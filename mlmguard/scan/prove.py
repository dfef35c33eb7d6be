"""A random sample of a scan held against stock Presidio and datasketch, in the same run (``--prove N``)."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from mlmguard import artifacts
from mlmguard.corpus.copies import minhash
from mlmguard.corpus.copies.dedup import Copies
from mlmguard.corpus.detect.folding import fold
from mlmguard.corpus.examine import Examined
from mlmguard.errors import InputError
from mlmguard.scan.books import Workplace
from mlmguard.scan.job import Job, examining
from mlmguard.settings import ScanSettings
from mlmguard.types import Proof, Watcher

REPORT = "scan.prove.json"
_PAIRS = 100  # of one document that are compared word by word
NOT_HELD = (
    "whether the recognisers, Presidio's and ours, find all there is: stock runs the same ones",
    "names that a network or a model finds",
    "values across line ends, glued to words or under the heading of a column",
    "what is dropped as nobody's by what stands around it",
    "lists of your own",
    "passages",
)
"""What neither of the two can say, so that there is nothing to hold it against."""


def check_prove(settings: ScanSettings) -> None:
    """Raise :class:`InputError` where a proof is asked for and datasketch is not installed."""
    if settings.prove and find_spec("datasketch") is None:
        raise InputError("--prove", "datasketch is not installed", do="pip install 'mlmguard[prove]'")


def prove(job: Job, place: Workplace, watcher: Watcher) -> Proof | None:
    """Write ``scan.prove.json`` to the reports; where none is asked for, remove that of another scan."""
    report = job.reports / REPORT
    if not job.settings.prove:
        report.unlink(missing_ok=True)
        return None
    books = place.books
    count = min(job.settings.prove, len(books))
    chance = np.random.default_rng(int(job.salt, 16))  # of this scan: nobody without the key can foresee it
    sample = sorted(chance.choice(len(books), count, replace=False).tolist())
    found, by_stock, differing = _findings(job, place, sample, watcher)
    pairs, copies = _copies(job, place, sample, watcher)
    differ = len(differing | copies)
    proof = Proof(
        run_id=job.run_id,
        sample=count,
        documents=len(books),
        findings_differ=len(differing),
        copies_differ=len(copies),
        most=_most(differ, count, len(books)),
        found=found,
        found_by_stock=by_stock,
        pairs=pairs,
        stock={name: version(name) for name in ("presidio-analyzer", "datasketch")},
        not_held=NOT_HELD,
    )
    artifacts.write_json(report, proof)
    return proof


def holds(proof: Proof | None) -> bool:
    """Say if no document of the sample differs, or none was asked for. A scan that differs is not put into an
    index: it will be run again, and would find its own documents there as copies."""
    return proof is None or not proof.differ


def _most(differ: int, sample: int, documents: int) -> float:
    """The upper end, at 95 %, of the share of ``documents`` that differ, of a sample that is part of them:
    with one more of them so few would be drawn in 5 % of samples at most (hypergeometric)."""
    from scipy.stats import hypergeom  # no scan without a proof is to wait for it

    low, high = differ, documents - (sample - differ)
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeom.cdf(differ, documents, middle, sample) > 0.05:
            low = middle
        else:
            high = middle - 1
    return low / documents


def _findings(job: Job, place: Workplace, sample: list[int], watcher: Watcher) -> tuple[int, int, set[int]]:
    """Findings of the scan, those of them that stock has, and documents in which stock finds other things, or
    whose cleaned text, examined elsewhere perhaps, is not what these settings make of it here."""
    from mlmguard.corpus.detect.reference import analyze_as_reference, reference  # brings torch

    settings = job.settings
    examine = examining(settings, job.key)
    ours = examine.finder
    chosen = set(settings.entities or ())
    engine = reference(
        one for one in ours.recognizers() if not chosen or chosen.intersection(one.supported_entities)
    )
    found = by_stock = 0
    differing = set()
    for number, document in enumerate(sample):
        item = Examined.of_record(place.spool.record(document))
        folded = fold(item.text)
        stock = analyze_as_reference(engine, folded.text, settings.threshold)
        if ours.stock(folded.text) != stock or examine.redacted(item.text).text != item.clean.text:
            differing.add(document)
        raw = [(one.rule, *folded.to_raw(one.start, one.end)) for one in stock]
        for placed in item.clean.placed:
            found += 1
            by_stock += any(
                rule == placed.rule and start < placed.raw_end and placed.raw_start < end
                for rule, start, end in raw
            )
        watcher.progress("prove findings", number + 1, len(sample))
    return found, by_stock, differing


def _copies(job: Job, place: Workplace, sample: list[int], watcher: Watcher) -> tuple[int, set[int]]:
    """Pairs that were compared, and documents whose signature or copies are not what the definition says."""
    from mlmguard.corpus.copies import stock

    copies: Copies = place.copies
    known, threshold, permutations = copies.known, job.settings.near_threshold, job.settings.permutations
    text, root = place.spool.text, known.clusters.root
    differing = {d for d in sample if _bare(text(d)) != _bare(text(int(known.first[d])))}
    compared = ~copies.wordless & (known.first == np.arange(len(known.first), dtype=np.uint32))
    of = defaultdict[int, list[int]](list)  # of equal texts the first stands for all
    for document in sample:
        if compared[known.first[document]]:
            of[int(known.first[document])].append(document)
    for first, documents in of.items():
        fingerprints, _ = minhash.shingles(minhash.words([text(first)]))
        theirs = stock.signature(fingerprints.tolist(), permutations)
        if not np.array_equal(theirs, copies.signature(first)):
            differing.update(documents)
    pairs = defaultdict[int, dict[int, bool]](dict)  # of each document the others, and which we joined
    everyone = np.flatnonzero(compared).tolist()
    for first, other in stock.candidates(of, everyone, copies.signature, threshold, permutations):
        if len(pairs[first]) < _PAIRS:
            pairs[first][other] = False
    for a, b in known.pairs[np.isin(known.pairs, list(of)).any(axis=1)].tolist():
        for first, other in ((a, b), (b, a)):
            if first in of and compared[other]:
                pairs[first][other] = True
    for number, (first, others) in enumerate(pairs.items()):
        for other, joined in others.items():
            alike = stock.jaccard(text(first), text(other)) >= threshold
            if joined > alike or (alike and root(first) != root(other)):
                differing.update(of[first])
        watcher.progress("prove copies", number + 1, len(pairs))
    return sum(map(len, pairs.values())), differing


def _bare(text: str) -> str:
    """A text without what two exact copies may differ in: white space, and how accents are encoded."""
    return unicodedata.normalize("NFC", text).translate(_WHITE)


_WHITE = dict.fromkeys([9, 10, 11, 12, 13, 28, 29, 30, 31, 32])
