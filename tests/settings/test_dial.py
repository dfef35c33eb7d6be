"""Settings are refused for their kind, their range and what contradicts them, each in one line."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from mlmguard.errors import InputError
from mlmguard.settings import AuditSettings, ScanSettings, TrainSettings, check, check_value, dials

ALL: tuple[Any, ...] = (ScanSettings, TrainSettings, AuditSettings)


@pytest.mark.parametrize("cls", ALL)
def test_the_defaults_contradict_nothing_and_every_dial_is_described(cls: Any) -> None:
    check(cls())
    for one in dials(cls):
        assert one.help.endswith("."), one.name
        assert not one.flag or one.group, one.name
    assert {one.group for one in dials(cls) if one.flag} == set(cls.GROUPS)
    assert set(cls.MOST_USED) <= {one.name for one in dials(cls) if one.flag}
    assert len({one.flag for one in dials(cls) if one.flag}) == sum(bool(one.flag) for one in dials(cls))


@pytest.mark.parametrize("cls", ALL)
def test_every_range_refuses_what_lies_just_outside_and_takes_its_ends(cls: Any) -> None:
    tried = 0
    for one in dials(cls):
        if one.kind not in (int, float) or one.several:
            continue
        step = 1 if one.kind is int else 1e-9
        outside = [
            *([one.least - step] if one.least is not None else []),
            *([one.above] if one.above is not None else []),
            *([one.most + step] if one.most is not None else []),
            *([one.below] if one.below is not None else []),
            *([float("nan"), float("inf"), True] if one.kind is float else [1.5, True]),
        ]
        for value in outside:
            number = int(value) if one.kind is int and value == int(value) and value is not True else value
            with pytest.raises(InputError) as refused:
                check(replace(cls(), **{one.name: number}))
            assert str(refused.value).startswith(one.flag or one.name.replace("_", " ")), one.name
            tried += 1
        inside = [value for value in (one.least, one.most) if value is not None]
        for value in inside:
            check_value(one, one.kind(value))  # beside other settings it may mean nothing
    assert tried > 20 or cls is not TrainSettings


@pytest.mark.parametrize("cls", ALL)
def test_every_choice_is_taken_and_no_other(cls: Any) -> None:
    for one in dials(cls):
        for choice in one.choices:
            check(replace(cls(), **{one.name: choice}))
        if one.choices:
            with pytest.raises(InputError, match="one of " + one.choices[0]):
                check(replace(cls(), **{one.name: "no-such-choice"}))


@pytest.mark.parametrize("cls", ALL)
def test_none_is_taken_where_it_means_derived_and_a_list_where_there_are_several(cls: Any) -> None:
    for one in dials(cls):
        if one.optional:
            check(replace(cls(), **{one.name: None}))
        else:
            with pytest.raises(InputError):
                check(replace(cls(), **{one.name: None}))
        if one.several:
            with pytest.raises(InputError, match="a list"):
                check(replace(cls(), **{one.name: 3}))


def test_what_is_for_plain_runs_is_refused_in_a_private_one() -> None:
    plain_only = [one for one in dials(TrainSettings) if one.plain_only]
    assert len(plain_only) >= 5
    for one in plain_only:
        value = True if one.kind is bool else 8
        check(TrainSettings(**{one.name: value}))
        with pytest.raises(InputError, match="a private run; expected a plain one"):
            check(TrainSettings(dp_epsilon=8.0, **{one.name: value}))


#: For each contradiction, in the order of the table: settings that it refuses, and the nearest ones it takes.
CONTRADICTORY: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"static_masks": True, "final_mask_rate": 0.2}, {"static_masks": True}),
    ({"augmentation_multiplicity": 4}, {"augmentation_multiplicity": 4, "dp_epsilon": 8.0}),
    (
        {"dp_epsilon": 8.0, "augmentation_multiplicity": 2, "static_masks": True},
        {"dp_epsilon": 8.0, "augmentation_multiplicity": 1, "static_masks": True},
    ),
    ({"dp_epsilon": 8.0, "objective": "mlm+nsp"}, {"objective": "mlm+nsp"}),
    ({"dp_epsilon": 8.0, "precision": "fp16"}, {"dp_epsilon": 8.0, "precision": "bf16"}),
    ({"stride": 63}, {"stride": 62}),
    (
        {"dp_epsilon": 8.0, "tokenizer": "learn"},
        {"dp_epsilon": 8.0, "tokenizer": "learn", "allow_private_tokenizer": True},
    ),
    ({"tokenizer": "dp"}, {"tokenizer": "dp", "dp_epsilon": 8.0}),
    (
        {"tokenizer": "dp", "dp_epsilon": 8.0, "unit": "sequence"},
        {"tokenizer": "dp", "dp_epsilon": 8.0, "unit": "document"},
    ),
    ({"tokenizer": "learn", "init": "a-model"}, {"tokenizer": "learn", "init": "scratch"}),
    ({"lora_rank": 4}, {"lora_rank": 4, "adapt": "lora"}),
    ({"add_tokens": "words.txt"}, {"add_tokens": "words.txt", "init": "a-model"}),
    ({"dp_epsilon": 1.0, "tokenizer_epsilon": 1.0}, {"dp_epsilon": 1.0, "tokenizer_epsilon": 0.9}),
    ({"canary_tiers": (1,)}, {"canary_tiers": (2,)}),
]


@pytest.mark.parametrize("row", range(len(TrainSettings.CONTRADICTIONS)))
def test_every_contradiction_is_refused_by_its_row_and_the_nearest_settings_are_not(row: int) -> None:
    refused, taken = CONTRADICTORY[row]
    assert TrainSettings.CONTRADICTIONS[row].when(TrainSettings(**refused))
    with pytest.raises(InputError) as error:
        check(TrainSettings(**refused))
    assert "\n" not in str(error.value) and "{" not in str(error.value)
    check(TrainSettings(**taken))


def test_a_field_without_an_option_says_so() -> None:
    """What is neither a dial nor named here would be a setting that nobody can find."""
    plain = {"kept", "left_out", "splits"}
    for cls in ALL:
        known = {one.name for one in dials(cls)}
        assert {one.name for one in fields(cls)} - known <= plain
