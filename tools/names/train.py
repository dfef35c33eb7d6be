"""Train the names detector and write its weights.

    python tools/names/train.py learn.pkl --out mlmguard/corpus/detect/names.npz

The network of ``mlmguard.corpus.detect.tagger``, written once more in torch for its gradients; what is
written is read back and compared.
"""

from __future__ import annotations

import argparse
import pickle
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlmguard.corpus.detect.tagger import CLASSES, KINDS, REGIMES, ROWS, Lists, Tagger, facts, pieces, regimes

FACTS = len(KINDS) + 6 + len(REGIMES)


class Network(nn.Module):
    """The same sums as :meth:`Tagger.probabilities`."""

    def __init__(self, embedding: int, width: int, layers: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(ROWS, embedding, mode="sum")
        nn.init.normal_(self.table.weight, std=0.3)
        self.facts = nn.Linear(FACTS, embedding, bias=False)
        self.layers = nn.ModuleList(
            nn.Linear(3 * (embedding if i == 0 else width), width) for i in range(layers)
        )
        self.out = nn.Linear(width, len(CLASSES))
        self.dropout = nn.Dropout(0.15)

    def words(
        self, rows: torch.Tensor, starts: torch.Tensor, counts: torch.Tensor, facts: torch.Tensor
    ) -> torch.Tensor:
        return even(self.table(rows, starts) / counts.sqrt()[:, None] + self.facts(facts))

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(sequences, words, embedding) -> logits; what lies behind a sequence's end is nothing."""
        mask = mask[:, :, None]
        hidden = self.dropout(vectors) * mask
        for number, layer in enumerate(self.layers):
            there = even(hidden) * mask if number else hidden
            none = there.new_zeros(there.shape[0], 1, there.shape[2])
            wide = torch.cat(
                [torch.cat([none, there[:, :-1]], 1), there, torch.cat([there[:, 1:], none], 1)], 2
            )
            grown = torch.relu(layer(wide)) * mask
            hidden = hidden + self.dropout(grown) if number else grown
        return self.out(hidden)


def even(rows: torch.Tensor) -> torch.Tensor:
    return rows / ((rows * rows).mean(-1, keepdim=True) + 1e-6).sqrt()


def written(network: Network, hashes: np.ndarray, bits: np.ndarray) -> dict[str, np.ndarray]:
    """The weights as the package has them: the table in 8 bits with a scale a row, the rest in 16 bits."""
    table = network.table.weight.detach().numpy()
    scale = np.maximum(np.abs(table).max(1), 1e-8) / 127
    out = {
        "hashes": hashes,
        "bits": bits,
        "table": np.round(table / scale[:, None]).astype(np.int8),
        "table_scale": scale.astype(np.float32),
        "facts": network.facts.weight.detach().numpy().T.astype(np.float16),
        "out": network.out.weight.detach().numpy().T.astype(np.float16),
        "out_bias": network.out.bias.detach().numpy().astype(np.float16),
    }
    for i, layer in enumerate(network.layers):
        out[f"layer{i}"] = layer.weight.detach().numpy().T.astype(np.float16)
        out[f"bias{i}"] = layer.bias.detach().numpy().astype(np.float16)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("learn", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--embedding", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--words", type=int, default=4096, help="words a batch")
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)
    learn = pickle.loads(options.learn.read_bytes())
    lists = Lists(learn["hashes"], learn["bits"])
    rows = [*learn["made"], *learn["carriers"]]
    vocabulary: dict[tuple[str, int], int] = {}
    sequences = []
    for words, classes in rows:
        if not words:
            continue
        ids = np.array(
            [vocabulary.setdefault(w, len(vocabulary)) for w in zip(words, regimes(words))], np.int64
        )
        for a in range(0, len(ids), 120):
            sequences.append((ids[a : a + 120], np.array(classes[a : a + 120], np.int64)))
    of = [np.array(pieces(w), np.int64) for w, _ in vocabulary]
    known = torch.from_numpy(facts(list(vocabulary), lists).astype(np.float32))
    print(len(sequences), "sequences", len(vocabulary), "words", flush=True)
    network = Network(options.embedding, options.width, options.layers)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.99))
    total = sum(len(s[0]) for s in sequences)
    steps = int(options.epochs * total / options.words)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, step / 100) * max(0.0, 1 - step / steps)
    )
    began, step, epoch = time.time(), 0, 0
    while step < steps:
        order = sorted(
            rng.sample(range(len(sequences)), len(sequences)),
            key=lambda i: len(sequences[i][0]) + rng.random() * 8,
        )
        batches, batch, most = [], [], 0
        for i in order:
            most = max(most, len(sequences[i][0]))
            if (len(batch) + 1) * most > options.words and batch:
                batches.append(batch)
                batch, most = [], len(sequences[i][0])
            batch.append(i)
        batches.append(batch)
        rng.shuffle(batches)
        seen = loss_sum = 0.0
        for batch in batches:
            longest = max(len(sequences[i][0]) for i in batch)
            ids = np.full((len(batch), longest), -1, np.int64)
            gold = np.full((len(batch), longest), -1, np.int64)
            for j, i in enumerate(batch):
                ids[j, : len(sequences[i][0])] = sequences[i][0]
                gold[j, : len(sequences[i][0])] = sequences[i][1]
            unique, inverse = np.unique(ids, return_inverse=True)
            inverse = inverse.reshape(ids.shape)
            real = unique[unique >= 0]
            shift = len(unique) - len(real)
            counts = np.array([len(of[u]) for u in real])
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            fact = known[torch.from_numpy(real)]
            # a name that no list has, and a word that only a list knows
            fact = fact * (torch.rand(len(real), 1) > 0.15) if rng.random() < 0.7 else fact
            flat = np.concatenate([of[u] for u in real])
            vectors = network.words(
                torch.from_numpy(flat), torch.from_numpy(starts), torch.from_numpy(counts).float(), fact
            )
            if shift:
                vectors = torch.cat([vectors.new_zeros(1, vectors.shape[1]), vectors])
            logits = network(vectors[torch.from_numpy(inverse)], torch.from_numpy(ids >= 0).float())
            loss = nn.functional.cross_entropy(
                logits.reshape(-1, len(CLASSES)),
                torch.from_numpy(gold.reshape(-1)),
                ignore_index=-1,
                label_smoothing=0.02,
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            seen += 1
            loss_sum += float(loss)
            if step % 200 == 0:
                print(
                    f"step {step}/{steps} loss {loss_sum / seen:.4f} {time.time() - began:.0f} s", flush=True
                )
                seen = loss_sum = 0.0
            if step >= steps:
                break
        epoch += 1
    network.eval()
    weights = written(network, learn["hashes"], learn["bits"])
    np.savez_compressed(options.out, **weights)
    words = sequences[0][0]
    spelt = list(vocabulary)
    words = [spelt[i][0] for i in words]
    tagger = Tagger.read(options.out)
    with torch.no_grad():
        flat = np.concatenate([pieces(w) for w in words])
        counts = np.array([len(pieces(w)) for w in words])
        vectors = network.words(
            torch.from_numpy(flat), torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]])),
            torch.from_numpy(counts).float(), torch.from_numpy(facts(list(zip(words, regimes(words))), lists).astype(np.float32)),
        )  # fmt: skip
        there = torch.softmax(network(vectors[None], torch.ones(1, len(words))), -1)[0].numpy()
    apart = np.abs(there - tagger.probabilities(words)).max()
    print(f"written: {options.out.stat().st_size / 1e6:.2f} MB; largest difference to torch {apart:.4f}")
    assert apart < 0.05


if __name__ == "__main__":
    main()
