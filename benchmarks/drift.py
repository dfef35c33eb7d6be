"""How often drift is called where nothing moved, and how little of other text is found.

    python benchmarks/drift.py ../shared/data [--deals 100] [--resamples 999] [--ckpt CKPT] [--keep FILE]

``halves``: the mail of ``mail`` dealt to two halves, a new deal each time; a deal counts when any p-value is
.05 or less after Holm's correction. ``prose``: half of the mail against as many documents of ``prose``; and
between them half of the mail against the other half, of which some share is prose. Every document is shown to
the checkpoint once; the deals go through the lines that `mlmguard drift CKPT --texts B --against A` goes
through. Without ``--ckpt`` the mail is scanned and a nano model learns from it first.

The peers judge the same words in the usual ways: a chi-square test of token counts, which takes tokens for
independent draws, and the population stability index of the tokens with its fixed limit of 0.2.

Bar (issue 22): at most 5 alarms of 100 on halves; all on prose.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import stats

from mlmguard.artifacts import load_key, write_text
from mlmguard.drift import comparing
from mlmguard.drift.sides import Opened, Side, counts_of, described, drawn, named, opened, shown, tokens_of
from mlmguard.leakage.metrics import holm
from mlmguard.scan import scan
from mlmguard.settings import ScanSettings, TrainSettings
from mlmguard.train import train
from mlmguard.training.evaluation import unigram_log_probabilities
from mlmguard.types import SILENT

SHARES = (0.05, 0.1, 0.25)  # of prose among the mail of now


def trained(mail: Path, work: Path) -> Path:
    runs = work / ".mlmguard" / "runs"
    scan(mail, work / "clean", work / "reports", key=load_key(), settings=ScanSettings(workers=1), runs=runs)
    settings = TrainSettings(init="scratch", size="nano", steps=400, canaries=0)
    train(work / "clean", work / "ckpt", work / "reports", settings, runs=runs)
    return work / "ckpt"


def read(place: Path, model: Opened, seed: int) -> Side:
    """Every document of ``place`` as the checkpoint sees it."""
    rng = np.random.default_rng(seed)
    (whole,) = shown([drawn(named(place, "text", SILENT), 10**6, rng)], load_key())
    flat = unigram_log_probabilities(np.zeros(len(model.tokenizer), dtype=np.int64))
    return described(model, *tokens_of(model.tokenizer, whole, str(place)), flat, rng)


def joined(first: Side, second: Side) -> Side:
    columns = (
        np.concatenate([getattr(one, name) for one in (first, second)])
        for name in ("nats", "hidden", "unigram", "vectors")
    )
    return Side(first.ids + second.ids, first.sources + second.sources, *columns)


def peers(before: Side, now: Side, vocabulary: int) -> dict[str, bool]:
    """What judges tokens as they come: chi-square at .05, and the stability index above 0.2."""
    table = np.stack(
        [np.asarray(counts_of(side.ids, vocabulary).sum(axis=0)).ravel() for side in (before, now)]
    )
    table = table[:, table.sum(0) >= 10]
    shares = (table + 0.5) / (table + 0.5).sum(1, keepdims=True)
    index = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return {
        "peer: chi-square of tokens": stats.chi2_contingency(table).pvalue <= 0.05,
        "peer: stability index > 0.2": index > 0.2,
    }


def dealt(mail: Side, prose: Side, share: float, rng: np.random.Generator) -> tuple[Side, Side, Side]:
    """(known, before, now): a quarter and a quarter of the mail, the other half with its share of prose."""
    order = rng.permutation(len(mail))
    quarter = len(mail) // 4
    strange = round(share * (len(mail) - 2 * quarter))
    own = mail.part(order[2 * quarter : len(order) - strange].tolist())
    other = prose.part(rng.permutation(len(prose))[:strange].tolist())
    parts = (mail.part(order[start : start + quarter].tolist()) for start in (0, quarter))
    return (*parts, joined(own, other))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--deals", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=999)
    parser.add_argument("--ckpt", type=Path)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        model = opened(asked.ckpt or trained(asked.data / "mail", Path(work)))
    mail, prose = (read(asked.data / name, model, 0) for name in ("mail", "prose"))
    print(f"{len(mail):,} mails, {len(prose):,} documents of prose; {asked.resamples} resamples a deal")
    vocabulary = len(model.tokenizer)
    results = {}
    for name, share in (("halves", 0.0), ("prose", 1.0), *((f"{one:.0%} prose", one) for one in SHARES)):
        alarms: Counter[str] = Counter()
        for deal in range(asked.deals):
            known, before, now = dealt(mail, prose, share, np.random.default_rng([deal, *name.encode()]))
            counts = np.asarray(counts_of(known.ids, vocabulary).sum(axis=0)).ravel().astype(np.int64)
            words = comparing.Known(
                counts, model.tokenizer.special_ids, model.tokenizer.hugging_face.unk_token_id
            )
            found = comparing.texts(
                before, now, words, comparing.Family(asked.resamples, deal), head=model.head
            )
            adjusted = holm([test.p for test in found.tests])
            hits = [test.name for test, p in zip(found.tests, adjusted) if p <= 0.05]
            alarms.update(["any", *hits] if hits else [])
            alarms.update(peer for peer, alarm in peers(before, now, vocabulary).items() if alarm)
        results[name] = {"deals": asked.deals, **dict(alarms)}
        print(f"{name}: {json.dumps(results[name])}", flush=True)
        if asked.keep:
            write_text(asked.keep, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
