"""Masking strategies: shares, spans and word boundaries against what is expected exactly."""

from types import SimpleNamespace

import numpy as np
import pytest

from mlmguard.errors import InputError
from mlmguard.settings import read_mix
from mlmguard.training.text import masking, units
from mlmguard.training.text.masking import IGNORED, Masking, Mix, Notes
from mlmguard.training.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.load(None)
MASK = TOKENIZER.mask_id


def invented(lengths, personal=()):
    """A framed sequence of words of these lengths in tokens; ``personal`` are numbers of words."""
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    ids = np.random.default_rng(0).integers(10, len(TOKENIZER), len(numbers))
    notes = Notes(numbers, np.isin(numbers, list(personal))).framed()
    return np.concatenate([[TOKENIZER.cls], ids, [TOKENIZER.sep]]), notes


def chosen_of(ids, notes, how, seed=0, rate=None):
    _, labels = masking.mask(ids, TOKENIZER, np.random.default_rng(seed), how, notes, rate)
    return labels != IGNORED


# --- what is shown ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", masking.STRATEGIES)
@pytest.mark.parametrize("mix", [Mix(), Mix(1.0, 0.0, 0.0), Mix(0.5, 0.25, 0.25), Mix(0.0, 0.0, 1.0)])
def test_what_is_chosen_is_shown_in_the_shares_asked_for(strategy, mix):
    ids, notes = invented([1, 2, 3] * 6000)
    masked, labels = masking.mask(
        ids, TOKENIZER, np.random.default_rng(1), Masking(strategy, 0.3, mix=mix), notes
    )
    chosen = labels != IGNORED
    assert (labels[chosen] == ids[chosen]).all() and (masked[~chosen] == ids[~chosen]).all()
    assert chosen.mean() == pytest.approx(0.3, abs=0.012)
    assert (masked[chosen] == MASK).mean() == pytest.approx(mix.hidden, abs=0.02)
    assert (masked[chosen] == ids[chosen]).mean() == pytest.approx(mix.kept, abs=0.02)


@pytest.mark.parametrize("strategy", masking.STRATEGIES)
def test_special_and_padding_tokens_are_never_chosen(strategy):
    ids = np.array([TOKENIZER.cls, 50, TOKENIZER.sep, 60, 61, TOKENIZER.sep, TOKENIZER.pad, TOKENIZER.pad])
    notes = Notes(np.array([-1, 0, -1, 1, 1, -1, -1, -1]), np.zeros(8, dtype=bool))
    for seed in range(200):
        chosen = chosen_of(ids, notes, Masking(strategy, 0.5), seed)
        assert chosen.any() and not chosen[[0, 2, 5, 6, 7]].any()


@pytest.mark.parametrize("strategy", masking.STRATEGIES)
def test_a_fixed_seed_gives_fixed_masks(strategy):
    ids, notes = invented([2, 1, 3] * 50)
    pairs = [
        masking.mask(ids, TOKENIZER, np.random.default_rng(4), Masking(strategy), notes) for _ in range(2)
    ]
    assert all((a == b).all() for a, b in zip(*pairs))


# --- words --------------------------------------------------------------------------------------------


def test_words_are_hidden_whole_or_not_at_all():
    lengths = [1, 4, 2, 7, 1, 1, 3] * 200
    ids, notes = invented(lengths)
    chosen = chosen_of(ids, notes, Masking("word", 0.2))[1:-1]
    shares = [part.mean() for part in np.split(chosen, np.cumsum(lengths)[:-1])]
    assert set(shares) == {0.0, 1.0}
    assert np.mean(shares) == pytest.approx(0.2, abs=0.04)


def test_word_boundaries_are_those_of_the_tokenizer():
    text = "Dr. O'Neil-Smith called 555-0134 about pharmacokinetics."
    (encoded,) = TOKENIZER.encode_with_places([text])
    notes = masking.notes_of(encoded, [(4, 16)])
    tokens = TOKENIZER.tokens(encoded.ids)
    pieces = {}
    for number, token in zip(notes.words, tokens):
        pieces.setdefault(number, []).append(token)
    words = ["".join(part.removeprefix("##") for part in pieces[k]) for k in sorted(pieces)]
    assert words == ["dr", ".", "o", "'", "neil", "-", "smith", "called", *"555-0134", "about",
                     "pharmacokinetics", "."]  # fmt: skip
    personal = [token for token, inside in zip(tokens, notes.personal) if inside]
    assert "".join(token.removeprefix("##") for token in personal) == "o'neil-smith"


def test_words_need_a_fast_tokenizer_and_tokens_do_not():
    slow = Tokenizer(SimpleNamespace(is_fast=False), 8, 4, frozenset({0}), 0, 0, 0)
    masking.refuse_wordless(Masking("token"), slow)
    for how in (Masking("word"), Masking("span"), Masking(pii="exclude")):
        with pytest.raises(InputError, match="fast tokenizer"):
            masking.refuse_wordless(how, slow)


# --- spans --------------------------------------------------------------------------------------------


class Recorded:
    """A generator that remembers the lengths it was asked for."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)
        self.lengths = []

    def permutation(self, values):
        order = self._rng.permutation(values)
        self.first = order[0]
        return order

    def choice(self, *arguments, **options):
        self.lengths.append(1 + int(self._rng.choice(*arguments, **options)))
        return self.lengths[-1] - 1


def test_span_lengths_are_geometric_cut_off_at_ten_and_are_what_is_chosen():
    """SpanBERT: p = 0.2 on 1…10 words, mean 3.8."""
    notes, lengths = Notes(np.arange(402), np.zeros(402, bool)), []
    for seed in range(1500):
        rng = Recorded(seed)
        chosen = np.isin(np.arange(402), masking.choose_spans(np.arange(1, 401), notes, 0.1, rng))
        assert chosen.sum() == 40
        assert chosen[rng.first : min(rng.first + rng.lengths[0], 401)].all()
        lengths += rng.lengths[:1]  # how many follow depends on how long they are
    expected = 0.2 * 0.8 ** np.arange(10) / (1 - 0.8**10)
    assert (expected * np.arange(1, 11)).sum() == pytest.approx(3.8, abs=0.01)
    assert np.bincount(lengths, minlength=11)[1:] / 1500 == pytest.approx(expected, abs=0.04)


def test_spans_are_whole_words_and_never_cross_what_may_not_be_chosen():
    lengths = [2, 3] * 60
    ids, notes = invented(lengths)
    ids[100] = TOKENIZER.sep
    for seed in range(50):
        chosen = chosen_of(ids, notes, Masking("span", 0.3), seed)
        assert not chosen[100]
        budget = int(0.3 * (len(ids) - 3))
        assert budget - 2 <= chosen.sum() <= budget + 3  # the last word is taken whole or not
        for start in np.flatnonzero(np.diff(chosen.astype(int)) == 1) + 1:
            assert start == 101 or notes.words[start] != notes.words[start - 1]


# --- text without spaces, and what is too long for a word ----------------------------------------------

SPACELESS = {
    "Chinese": "患者于昨日入院主诉头痛三天伴有发热咳嗽既往有高血压病史",
    "Japanese": "患者は昨日入院し、頭痛が三日間続いていると訴えた",
    "Thai": "ผู้ป่วยเข้ารับการรักษาเมื่อวานนี้ด้วยอาการปวดศีรษะ",
    "a short one": "头痛三天",
    "a link": "https://clinic.example.org/" + "/".join(f"archive{k}" for k in range(12)),
    "base64": "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24" * 3,
    "Chinese and English": "患者 John Smith 于昨日 admitted 入院主诉头痛三天 headache 伴有发热咳嗽",
}


@pytest.fixture(scope="module")
def unigram():
    """A tokenizer like XLM-R's: words end at spaces, and nowhere else."""
    from tokenizers import Tokenizer as Engine
    from tokenizers import models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted({letter for text in SPACELESS.values() for letter in text} | {"▁"})
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    engine = Engine(models.Unigram([(name, -3.0) for name in names], unk_id=3))
    engine.pre_tokenizer = pre_tokenizers.Metaspace()
    return Tokenizer.of(
        PreTrainedTokenizerFast(
            tokenizer_object=engine, cls_token="<s>", pad_token="<pad>", sep_token="</s>", unk_token="<unk>",
            mask_token="<mask>",
        )
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["word", "span"])
@pytest.mark.parametrize("text", SPACELESS)
def test_text_without_spaces_is_hidden_by_the_share_and_never_whole(unigram, text, strategy):
    (encoded,) = unigram.encode_with_places([SPACELESS[text]])
    ids, notes = np.array(encoded.ids), masking.notes_of(encoded, ())
    rng, shares = np.random.default_rng(0), []
    for _ in range(1500):
        _, labels = masking.mask(ids, unigram, rng, Masking(strategy, 0.15), notes)
        shares.append((labels != IGNORED).mean())
    assert max(shares) < 1 and min(shares) > 0
    if len(ids) > 10:  # of a few tokens one is hidden at least
        assert np.mean(shares) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("strategy", ["token", "word", "span"])
@pytest.mark.parametrize("lengths", [[2], [3], [1, 1], [9], [5, 5], [40], [11, 1]])
def test_no_window_is_all_masks_whatever_its_words_are(strategy, lengths):
    ids, notes = invented(lengths)
    for seed in range(300):
        chosen = chosen_of(ids, notes, Masking(strategy, 0.6), seed)
        assert 1 <= chosen.sum() < sum(lengths)


def test_words_of_a_script_with_spaces_stay_whole_in_a_text_with_others(unigram):
    (encoded,) = unigram.encode_with_places([SPACELESS["Chinese and English"]])
    tokens = unigram.tokens(encoded.ids)
    smith = next(k for k in range(len(tokens)) if tokens[k : k + 5] == list("Smith"))
    assert len(set(encoded.words[smith : smith + 5])) == 1
    numbers = [encoded.words[k] for k, token in enumerate(tokens) if token >= "一"]
    assert len(set(numbers)) == len(numbers)


# --- findings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", masking.STRATEGIES)
def test_excluded_findings_are_never_predicted(strategy):
    ids, notes = invented([1, 2, 3] * 100, personal=range(0, 300, 5))
    for seed in range(20):
        chosen = chosen_of(ids, notes, Masking(strategy, 0.4, pii="exclude"), seed)
        assert chosen.any() and not (chosen & notes.personal).any()


def test_a_text_of_findings_alone_has_no_loss_when_they_are_excluded():
    ids, notes = invented([3], personal=[0])
    assert not chosen_of(ids, notes, Masking(pii="exclude")).any()


def test_more_findings_are_hidden_and_each_as_a_whole():
    ids, notes = invented([1, 3, 1] * 2000, personal=range(1, 6000, 3))
    chosen = chosen_of(ids, notes, Masking(rate=0.15, pii="mask-more"))
    whole = chosen[notes.personal].reshape(-1, 3)
    assert set(whole.mean(1)) == {0.0, 1.0}
    assert whole.mean() == pytest.approx(masking.PERSONAL_RATE, abs=0.04)
    assert chosen[1:-1][~notes.personal[1:-1]].mean() == pytest.approx(0.15, abs=0.02)


# --- rates and static masks ---------------------------------------------------------------------------


def test_a_scheduled_rate_goes_from_the_first_to_the_last_in_a_line():
    how = Masking(rate=0.3, final_rate=0.15)
    assert [how.at(step, 4) for step in range(4)] == pytest.approx([0.3, 0.25, 0.2, 0.15])
    assert Masking(rate=0.3).at(3, 4) == 0.3 and how.at(0, 1) == 0.3


@pytest.mark.parametrize("text", ["80/10", "80/10/20", "80/-10/30", "all", "80,10,10"])
def test_a_mix_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="--mask-mix"):
        read_mix(text)


def test_a_mix_is_read_as_shares():
    assert Mix(*read_mix("80/10/10")) == Mix(0.8, 0.1, 0.1)


def test_static_masks_are_a_function_of_the_unit_alone():
    """Another unit more, or another order, moves nobody's masks: what per-unit clipping relies on."""
    from mlmguard.training.examples import example
    from mlmguard.training.recipes import Recipe

    recipe = Recipe(4, 2, 1e-3, 1, 16, masking=Masking(static=True))
    rng = np.random.default_rng(0)
    one, other = (units.Unit(name, (np.arange(10, 90),)) for name in ("a", "b"))
    first, _, again = (example(unit, TOKENIZER, recipe, rng, k) for k, unit in enumerate((one, other, one)))
    assert all((a == b).all() for a, b in zip(first, again))
    dynamic = Recipe(4, 2, 1e-3, 1, 16)
    first, again = (example(one, TOKENIZER, dynamic, rng) for _ in range(2))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first, again))


def test_notes_show_no_text():
    ids, notes = invented([1, 2], personal=[0])
    assert repr(notes) == "Notes(5 tokens)"
    assert "tokens" not in repr(units.Unit("u", (ids,), (notes,)))
