"""Noise and draws of private runs: published vectors, streams that have nothing in common, exact sums."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from randomgen import ChaCha
from scipy import stats

from mlmguard.errors import InputError
from mlmguard.training import mechanism
from mlmguard.training.mechanism import noise_source
from mlmguard.training.privacy.randomness import NoiseSource, private_rng
from mlmguard.types import DpPlan

ZERO = bytes(32)


def test_the_stream_is_aes_256_in_counter_mode() -> None:
    """NIST's known answer for the zero key and the zero block (CAVP, ECBVarTxt256)."""
    found = NoiseSource(ZERO).words(2).tobytes()
    assert found.hex() == "dc95c078a2408989ad48a21492842087"
    # the same stream whatever the portions it is asked for in: nothing is left out or given twice
    whole, parts = NoiseSource(ZERO).words(300_002), NoiseSource(ZERO)
    assert np.array_equal(whole, np.concatenate([parts.words(size) for size in (1, 200_000, 3, 99_998)]))


def test_draws_are_chacha20() -> None:
    """The keystream of RFC 8439, A.1, test vector 1."""
    raw = np.asarray(ChaCha(key=0).random_raw(4), dtype="<u8").tobytes()
    assert raw.hex() == "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert type(private_rng().bit_generator) is ChaCha
    assert private_rng().random() != private_rng().random()


@pytest.mark.parametrize("bit", range(256))
def test_keys_that_differ_in_any_bit_give_unrelated_noise(bit: int) -> None:
    key = bytearray(ZERO)
    key[bit // 8] ^= 1 << bit % 8
    one, other = (noise_source(bytes(k)).normal((4000,), 1.0).double() for k in (ZERO, key))
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 5 / 4000**0.5
    assert not bool((one == other).any())


def test_seeds_that_torch_takes_for_one_are_two_keys() -> None:
    """``torch.Generator("cpu")`` keeps 32 bits of its seed."""
    seed = 1234
    same = [torch.Generator().manual_seed(s) for s in (seed, seed + 2**32)]
    assert torch.equal(*(torch.randn(8, generator=one) for one in same))
    ours = [noise_source(s.to_bytes(32, "little")).normal((8,), 1.0) for s in (seed, seed + 2**32)]
    assert not torch.equal(*ours)


def test_samples_are_normal_and_independent() -> None:
    drawn = noise_source(b"k" * 32).gaussian(400_001).numpy()
    assert len(drawn) == 400_001
    assert stats.kstest(drawn, "norm").pvalue > 1e-4
    assert (
        stats.kstest(
            np.abs(drawn[np.abs(drawn) > 3]), lambda x: 1 - stats.norm.sf(x) / stats.norm.sf(3)
        ).pvalue
        > 1e-4
    )
    half = len(drawn) // 2
    for lag in (1, 2, half, half + 1):  # a pair of Box and Muller stands half a draw apart
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 5 / (len(drawn) - lag) ** 0.5
        assert abs(np.corrcoef(drawn[:-lag] ** 2, drawn[lag:] ** 2)[0, 1]) < 5 / (len(drawn) - lag) ** 0.5
    assert noise_source().normal((3, 5), 2.0).shape == (3, 5)
    assert noise_source().normal((), 1.0).dtype == torch.float32


def test_a_source_is_not_copied_shown_or_made_from_half_a_key() -> None:
    source = noise_source(b"secret key of exactly 32 bytes!!")
    with pytest.raises(TypeError, match="repeat its noise"):
        pickle.dumps(source)
    assert "secret" not in repr(source) and "secret" not in str(vars(source))
    with pytest.raises(ValueError, match="16 bytes"):
        noise_source(bytes(16))
    assert not torch.equal(noise_source().normal((8,), 1.0), noise_source().normal((8,), 1.0))


def _plan(**changes: float) -> DpPlan:
    settings = {
        "noise_multiplier": 0.0,
        "max_grad_norm": 0.7,
        "normaliser": 1.0,
        "grid": mechanism.GRID,
        **changes,
    }
    return DpPlan(sample_rate=0.1, steps=1, delta=1e-5, unit="document", epsilon=1.0, **settings)  # type: ignore[arg-type]


def test_the_noise_is_that_of_the_plan_and_wider_by_what_rounding_may_add() -> None:
    plan = _plan(noise_multiplier=1.5, normaliser=4.0)
    assert mechanism.spread(plan) == pytest.approx(1.5 * 0.7 * (1 + 2**-10), rel=1e-12)
    released = mechanism.noisy_mean(torch.zeros(200_000), plan, noise_source(ZERO)).double() * 4.0
    assert float(released.std()) == pytest.approx(mechanism.spread(plan), rel=0.01)


def test_what_is_released_is_a_whole_number_of_spacings() -> None:
    """Without noise the grid can be seen: each coordinate is on it, rounded to the nearest."""
    sums = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 0.01
    spacing = mechanism.GRID * 0.5  # the power of two below C
    released = mechanism.noisy_mean(sums, _plan(), noise_source(ZERO)).double()
    assert torch.equal(released, (sums.double() / spacing).round() * spacing)


def test_one_unit_moves_a_rounded_sum_by_no_more_than_the_noise_allows_for() -> None:
    plan, rng = _plan(max_grad_norm=1.0), np.random.default_rng(0)
    margins = []
    for size in (1, 50, 20_000):
        rest = torch.from_numpy(rng.normal(0, 0.3, size))
        unit = torch.from_numpy(rng.normal(0, 1, size))
        unit /= unit.norm()
        spacing = plan.grid
        moved = ((rest + unit) / spacing).round() - (rest / spacing).round()
        margins.append(float(moved.norm()) * spacing - 1)
        assert margins[-1] <= spacing * size**0.5 <= mechanism.GRID_MARGIN
    assert max(margins) > 0  # without the margin the claim would be too small


def test_a_model_too_large_for_the_margin_is_refused() -> None:
    mechanism.refuse_too_many(mechanism.MOST_PARAMETERS)
    with pytest.raises(InputError, match="268,435,457 trained parameters"):
        mechanism.refuse_too_many(mechanism.MOST_PARAMETERS + 1)
