"""Models of ten lines, whose knowledge is known, for the attacks to be tried on."""

from dataclasses import replace

import numpy as np

from mlmguard.leakage.answers import Answer


def answer_of(log_probability, top=1):
    n = len(log_probability)
    moments = np.tile([-3.0, 1.0], (n, 1))
    return Answer(
        log_probability,
        np.ones(n, dtype=np.int64),
        np.tile(np.arange(top), (n, 1)),
        np.zeros((n, top)),
        moments,
    )


class Knows:
    """Answers every probe with a rank that only depends on whether the document was trained on."""

    queries = 0

    def __init__(self, known):
        self.known = known

    def answer(self, probes, top=1, moments=False):
        out = []
        for p in probes:
            n = len(p.positions)
            right = np.full(n, int(p.ids[0]) in self.known)
            truth = p.ids[list(p.positions)]
            choices = np.stack([np.where(right, truth, 0), *[np.full(n, 9)] * (top - 1)], axis=1)
            scores = np.where(right, -0.1, -5.0)
            out.append(
                Answer(
                    scores, np.where(right, 1, 50), choices, np.zeros((n, top)), np.tile([-3.0, 1.0], (n, 1))
                )
            )
        return out


class KnowsByHeart(Knows):
    """Knows a document only as it stands: with a word changed it is a stranger's."""

    def __init__(self, texts):
        super().__init__(set(texts))
        self.texts = texts

    def answer(self, probes, top=1, moments=False):
        answers = super().answer(probes, top, moments)
        for k, p in enumerate(probes):
            if not np.array_equal(p.ids, self.texts.get(int(p.ids[0]), p.ids)):
                answers[k] = replace(answers[k], log_probability=answers[k].log_probability - 3)
        return answers
