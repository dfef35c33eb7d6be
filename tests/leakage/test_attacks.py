"""The contract of an attack: run over every one of ``ATTACKS``, and over a plug-in of ten lines."""

from pathlib import Path

import pytest

from mlmguard import measures, plugins
from mlmguard.audit.evidence import SPENT, coverage
from mlmguard.errors import InputError
from mlmguard.leakage.attack import Attack
from mlmguard.leakage.attacks import ATTACKS, attacks
from mlmguard.leakage.results import Result
from mlmguard.measures import METRICS
from tests.leakage.bench import Bench, audited

PLUGIN = '''
from mlmguard.leakage.attack import Attack
from mlmguard.leakage.metrics import rate
from mlmguard.leakage.results import PValue, Result, fisher, measured
from mlmguard.types import Metric


def run(bench):
    """Texts that end in an even digit: members against others."""
    hits, others = (sum(int(p.ids[-2]) % 2 == 0 for p in part) for part in (bench.members, bench.others))
    n, m = len(bench.members), len(bench.others)
    test = PValue("even", fisher(hits, n, others, m), n, metric="rate")
    return Result((measured("even", "rate", rate(hits, n), n),), tests=(test,))


ATTACK = Attack("even", "counts even ends", (Metric("even.rate", "share of even ends", interval=True),
                Metric("even.rate_p", "probability of such a share by chance")), run)
'''


def plug_in() -> Attack:
    """The attack of ``PLUGIN``, without installing it."""
    names: dict[str, object] = {}
    exec(PLUGIN, names)
    attack = names["ATTACK"]
    assert isinstance(attack, Attack)
    return attack


EVERY = (*ATTACKS, plug_in())
each = pytest.mark.parametrize("attack", EVERY, ids=lambda attack: attack.name)


def numbers(result: Result) -> set[str]:
    """The names of everything that a result brings into the evidence."""
    own = {f"{m.attack}.{m.metric}" for m in result.measurements}
    return own | {f"{test.attack}.{test.metric}_p" for test in result.tests}


@each
@pytest.mark.parametrize("leaks", [False, True])
def test_an_attack_measures_what_it_declares_with_intervals_and_without_text(
    attack: Attack, leaks: bool
) -> None:
    known = audited(shadows=(0, 1))
    result = attack.run(Bench(known, leaks=leaks))
    declared = {metric.name: metric for part in attack.parts for metric in part.metrics}
    assert result.measurements and numbers(result) <= set(declared)
    for m in result.measurements:
        if declared[f"{m.attack}.{m.metric}"].interval and m.value is not None:
            assert m.low is not None and m.high is not None and m.low <= m.value <= m.high, m
    said = repr(result)
    texts = [row["text"] for rows in (known.members, known.held_out) for row in rows]
    values = {word for text in texts for word in text.split()} | {
        s.text[s.start : s.end] for s in known.secrets
    }
    assert not [value for value in values if value in said]


@each
def test_the_same_seed_gives_the_same_result(attack: Attack) -> None:
    assert repr(attack.run(Bench(audited()))) == repr(attack.run(Bench(audited())))


@each
def test_its_lines_of_the_coverage_are_there_whether_it_was_run_or_not(attack: Attack) -> None:
    known = audited()
    ran, spent = (coverage(known, EVERY, results) for results in ({attack.name: Result()}, {}))
    for part in attack.parts:
        (line,) = [one for one in ran if one.attack == part.name]
        why, unasked = part.cannot(known), attack.unasked(known) or part.unasked(known)
        done = ("not run", why) if why else ("run", f"{part.done(known)}; 0 windows scored")
        if unasked:
            done = ("not applicable", unasked)
        assert (line.status, line.detail) == done
        (line,) = [one for one in spent if one.attack == part.name]
        assert (line.status, line.detail) == (done if unasked else ("not run", why or SPENT))
    nothing = audited(secrets=(), manifest=None, has_reference=False, causal=True, changes={}, shadows=())
    for line in coverage(nothing, EVERY, {}):
        asked = line.attack not in ("releases", "shadow models", "secrets")
        assert line.status == ("not run" if asked else "not applicable") and line.detail


def alarms(attack: Attack, seeds: range) -> tuple[int, int]:
    """Tests below .05, and how many there were, of models that know nothing."""
    p = [test.p for seed in seeds for test in attack.run(Bench(audited(seed), seed)).tests]
    return sum(value < 0.05 for value in p), len(p)


def within(found: int, of: int) -> bool:
    """Whether so many alarms may be chance at level .05: three deviations, tests of one run taken as one."""
    return found <= 0.05 * of + 3 * (0.05 * 0.95 * of) ** 0.5 + 1


@each
def test_it_keeps_its_level_where_nothing_was_learnt(attack: Attack) -> None:
    assert within(*alarms(attack, range(4)))


@each
@pytest.mark.statistical
def test_it_keeps_its_level_over_many_seeds(attack: Attack) -> None:
    assert within(*alarms(attack, range(60)))


def test_every_metric_of_an_attack_has_one_row_and_every_row_of_leakage_one_attack() -> None:
    assert [attack.name for attack in ATTACKS] == list(measures.ATTACKS)
    declared = [metric.name for attack in ATTACKS for part in attack.parts for metric in part.metrics]
    assert len(declared) == len(set(declared)) and set(declared) <= set(METRICS)
    others = {"model", "privacy", "scan", "audit", "drift", "leakage"}  # the last: what all attacks came to
    assert set(declared) == {name for name, row in METRICS.items() if row.family not in others}


# --- plug-ins -----------------------------------------------------------------------------------------


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, text: str) -> None:
    """Install a distribution of one module, in a folder of its own on the path."""
    info = folder / module / f"{module}-1.dist-info"
    info.mkdir(parents=True)
    (folder / module / f"{module}.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[mlmguard.attacks]\neven = {module}:ATTACK\n")
    monkeypatch.syspath_prepend(str(folder / module))


def test_a_plug_in_runs_after_ours_and_its_numbers_can_be_addressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlmguard.policy.rule import known_metrics

    install(tmp_path, monkeypatch, "house_attack", PLUGIN)
    assert [attack.name for attack in attacks()] == [*(attack.name for attack in ATTACKS), "even"]
    assert plugins.metrics()["even.rate"].says == "share of even ends"
    assert known_metrics()["even.rate_p"] and "even.rate" not in METRICS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('no')", "does not load"),
        ("ATTACK = 3", "an Attack"),
        (PLUGIN.replace('Attack("even"', 'Attack("canary"'), "already"),
        (PLUGIN.replace('"even.rate"', '"odd.rate"'), "begins with even"),
    ],
)
def test_a_plug_in_that_does_not_fit_is_an_error_and_never_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    install(tmp_path, monkeypatch, f"broken_attack_{abs(hash(text))}", text)
    with pytest.raises(InputError, match=message):
        attacks()


def test_two_plug_ins_of_one_name_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "first_attack", PLUGIN)
    install(tmp_path, monkeypatch, "second_attack", PLUGIN)
    with pytest.raises(InputError, match="of that name"):
        attacks()
