"""How fast masked probes are answered, beside ``transformers``' fill-mask pipeline on the same windows.

    python benchmarks/probing_speed.py [--vocab VOCAB.txt] [--probes 256] [--threads 2] [--clock wall]

Two models with random weights, 2 x 128 and BERT-base (12 x 768), with the vocabulary that ``--vocab`` names
(WordPiece, one entry a line; BERT's has 30,522) or the one that mlmguard ships (2,048, a head so small that
leaving it out saves little). Windows of 128 tokens with one hidden. The pipeline is given the same texts, as
it comes (one at a time) and in batches of 32, and asked for one answer each. What it does beside the forward
pass (tokenising, ranking) is part of its time, as of its users'.

Bars (issue 4): >= 10 times the pipeline on 2 x 128, >= 1.5 times on base. Beside them the share of the
machine's matrix product peak, measured on 2048 x 2048 fp32, that our probes reach.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, pipeline

from mlmguard.leakage.answers import Probe
from mlmguard.leakage.scorer import Scorer
from mlmguard.training import models
from mlmguard.training.text.tokenizer import Tokenizer

TOKENS = 128


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    peak = matmul_peak(clock)
    print(f"{options.threads} threads, {options.clock} clock; matrix product peak {peak / 1e9:.0f} GFLOP/s")
    print(
        "| model | vocabulary | pipeline, probes/s | in batches of 32 | ours | ratios | share of the peak |"
    )
    print("|---|---|---|---|---|---|---|")
    tokenizer = (
        BertTokenizerFast(vocab=str(options.vocab)) if options.vocab else Tokenizer.load(None).hugging_face
    )
    for name, layers, width, count in (
        ("2 x 128", 2, 128, options.probes),
        ("base", 12, 768, max(8, options.probes // 8)),
    ):
        model = model_of(layers, width, len(tokenizer))
        windows = windows_of(tokenizer, count)
        ours = fastest(lambda m=model, x=windows: answer(m, tokenizer, x), clock)
        theirs = [
            fastest(lambda m=model, x=windows, size=size: fill(m, tokenizer, x, size), clock)
            for size in (1, 32)
        ]
        share = count / ours * operations(layers, width, len(tokenizer)) / peak
        print(
            f"| {name} | {len(tokenizer):,} | {count / theirs[0]:,.1f} | {count / theirs[1]:,.1f} | "
            f"{count / ours:,.1f} | {theirs[0] / ours:.1f}, {theirs[1] / ours:.1f} | {share:.0%} |",
            flush=True,
        )


def model_of(layers: int, width: int, vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=TOKENS,
    )
    return BertForMaskedLM(config).eval()


def windows_of(tokenizer: Any, count: int) -> list[np.ndarray]:
    """Windows that the pipeline's tokenising gives back as they are: whole words only."""
    rng = np.random.default_rng(0)
    whole = [k for entry, k in tokenizer.get_vocab().items() if entry.isalpha() and entry.isascii()]
    whole = [k for k in whole if tokenizer.encode(tokenizer.decode([k]), add_special_tokens=False) == [k]]
    frame = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    return [np.r_[frame[0], rng.choice(whole, TOKENS - 2), frame[1]] for _ in range(count)]


def answer(model: Any, tokenizer: Any, windows: list[np.ndarray]) -> None:
    scorer = Scorer(
        lambda ids, attention, where: models.masked_logits(model, ids, attention, where),
        tokenizer.mask_token_id,
        tokenizer.pad_token_id,
        torch.device("cpu"),
    )
    scorer.answer([Probe(ids, (TOKENS // 2,)) for ids in windows])


def fill(model: Any, tokenizer: Any, windows: list[np.ndarray], batch_size: int) -> None:
    texts = []
    for ids in windows:
        hidden = ids[1:-1].copy()
        hidden[TOKENS // 2 - 1] = tokenizer.mask_token_id
        texts.append(" ".join(tokenizer.convert_ids_to_tokens(hidden)))
    found = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=1, device="cpu")
    found(texts, batch_size=batch_size)


def fastest(work: Callable[[], None], clock: Callable[[], float], repeats: int = 3) -> float:
    seconds = []
    for _ in range(repeats):
        began = clock()
        work()
        seconds.append(clock() - began)
    return min(seconds)


def operations(layers: int, width: int, vocabulary: int) -> float:
    """Floating-point operations of one probe of 128 tokens with one row through the head."""
    layer = TOKENS * 2 * 12 * width**2 + 4 * TOKENS**2 * width
    return layers * layer + 2 * width * (width + vocabulary)


def matmul_peak(clock: Callable[[], float]) -> float:
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)

    def multiply() -> None:
        torch.mm(a, b)

    multiply()
    return 2 * 2048**3 / fastest(multiply, clock, 5)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocab", type=Path)
    parser.add_argument("--probes", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    return parser.parse_args()


if __name__ == "__main__":
    main()
