"""Two releases of nearly one corpus: what came or went between them is told, and nothing else."""

import numpy as np
import pytest

from mlmguard.leakage.releases import ATTACK, releases
from tests.leakage.bench import Bench, audited


def _p(result):
    return {test.slice: test.p for test in result.tests}


def test_what_a_release_knows_and_the_one_before_does_not_was_added():
    """The model knows its members by heart, the earlier one nothing: every score tells what was added, and
    none what was forgotten, for that is what the earlier one would have to know."""
    result = releases(Bench(audited(documents=160), leaks=True))
    found = _p(result)
    assert set(found) == {
        f"{name}: {score}" for name in ("added", "forgotten") for score in ("difference", "votes", "learned")
    } | {"forgotten: remembered"}
    assert all(p < 1e-4 for name, p in found.items() if name.startswith("added"))
    assert all(p > 0.05 for name, p in found.items() if name.startswith("forgotten"))


def test_what_the_release_before_knew_and_this_one_does_not_was_forgotten():
    changes = audited(documents=160).changes
    swapped = {"added": changes["forgotten"], "forgotten": changes["added"]}
    bench = Bench(audited(documents=160, changes=swapped), leaks=True)
    bench.model, bench.earlier = bench.earlier, bench.model
    found = _p(releases(bench))
    assert found.pop("forgotten: remembered") > 0.05
    assert all(p < 1e-4 for name, p in found.items() if name.startswith("forgotten"))
    assert all(p > 0.05 for name, p in found.items() if name.startswith("added"))


def test_where_the_texts_alone_tell_what_came_nothing_is_tested():
    rows = audited(documents=160)
    late = [{**row, "text": " ".join(["later"] * 30)} for row in rows.members]
    changes = {"added": (late[:60], rows.held_out[:60])}
    result = releases(Bench(audited(documents=160, members=late, changes=changes), leaks=True))
    assert result.tests == () and all("shift" in m.note for m in result.measurements)


def test_too_few_documents_are_said_to_be_too_few():
    rows = audited(documents=40)
    known = audited(documents=40, changes={"added": (rows.members[:3], rows.held_out)})
    result = releases(Bench(known))
    (only,) = result.measurements
    assert result.tests == () and only.value is None and only.note.startswith("3 units were added, beside 40")
    assert (
        ATTACK.cannot(known) == "too few units came or went (3 added beside 40 others); 30 of each are needed"
    )


def test_a_release_that_still_knows_what_was_taken_out_is_a_finding():
    """Training went on from the release before, which knew it: the two differ in nothing."""
    rows = audited(documents=160)
    gone, others = rows.members[:60], rows.held_out[:60]
    bench = Bench(audited(documents=160, changes={"forgotten": (gone, others)}), leaks=True)
    bench.earlier = bench.model
    found = _p(releases(bench))
    assert found["forgotten: remembered"] < 1e-6 and found["forgotten: difference"] > 0.05


def test_without_an_earlier_release_it_is_not_run():
    assert ATTACK.cannot(audited(changes={})).startswith("no earlier release")


@pytest.mark.statistical
def test_two_models_that_know_nothing_keep_the_level():
    times, alarms, tests = 60, 0, 0
    for seed in range(times):
        found = _p(releases(Bench(audited(seed, documents=120), seed)))
        alarms += sum(p < 0.05 for p in found.values())
        tests += len(found)
    # the scores of one audit see one deal: as many independent tests as audits, at the least
    assert alarms / tests <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)
