"""What a probe run reads: a question asked twice is one group; the estimate is judged by enough groups."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import repflow
from repflow.core import Example, NotEnoughData
from repflow.studies.kit.fields import from_flat
from repflow.studies.kit.tasks import Assignment
from repflow.studies.probe.fit import seconds_for
from repflow.studies.probe.reading import ProbeReading
from repflow.studies.probe.settings import ProbeSettings
from repflow.tasks import make_task

SETTINGS: dict[str, Any] = {
    "task": "kvpr",
    "target": "position",
    "context": 400,
    "examples": 12,
    "positions": 2,
    "items": 4,
    "places": "last",
    "seeds": 2,
    "generate": False,
}


def records(path: Path, keys: list[int]) -> str:
    """A file of sets of pairs; those of one number are the same."""
    lines = []
    for n in keys:
        pairs = [[f"key{n}{i}", f"value{n}{i}"] for i in range(4)]
        lines.append(json.dumps({"ordered_kv_records": pairs, "key": pairs[2][0], "value": pairs[2][1]}))
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_a_question_asked_twice_stays_on_one_side_of_a_split(tmp_path: Path) -> None:
    data = records(tmp_path / "twice.jsonl", [n % 7 for n in range(12)])
    run = repflow.probe("config:gpt2,layers=1,width=16", data=data, out=tmp_path / "run", **SETTINGS)
    assert run.table("probe_summary")["n_groups"].tolist() == [7]
    assert run.table("probe_summary")["n_examples"].tolist() == [24]
    assert any(
        "5 of 12 questions or sets of pairs have the gold or the passage of another" in line
        for line in run.info["warnings"]
    )


def test_too_few_different_questions_are_refused(tmp_path: Path) -> None:
    data = records(tmp_path / "same.jsonl", [0] * 12)
    with pytest.raises(NotEnoughData, match=r"1 groups .* need at least 6"):
        repflow.probe("config:gpt2,layers=1,width=16", data=data, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("examples", "seeds", "said"),
    [
        (12, 1, ["hold out 2 sets of pairs in all, and from fewer than 8 no probe has an interval or a peak"]),
        (20, 5, ["hold out 12 sets of pairs in all; 30 or more make good intervals"]),
        (60, 5, []),
    ],
)
def test_the_units_of_the_intervals_are_told(tmp_path: Path, examples: int, seeds: int, said: list[str]) -> None:
    """The groups that some split holds out, not all there are, nor as many as there are splits."""
    settings = SETTINGS | {"examples": examples, "seeds": seeds, "control": False}
    run = repflow.probe("config:gpt2,layers=1,width=16", out=tmp_path / "run", **settings)
    told = [line for line in run.info["warnings"] if "hold out" in line]
    assert len(told) == len(said)
    assert all(text in line for text, line in zip(said, told, strict=True)), told
    units = run.table("probe_summary")["n_units"].iloc[0]
    assert run.probes["ci_low"].isna().all() == (units < 8)
    assert not said or f"hold out {units:.0f} sets" in told[0]


def reading(golds: list[int], positions: int) -> ProbeReading:
    """Prompts of three tokens, the gold in the middle."""
    examples = [
        Example(id=g * positions + c, ids=(c, 100 * gold + c, 7), group=g, gold_span=(1, 2), gold_class=c)
        for g, gold in enumerate(golds)
        for c in range(positions)
    ]
    return ProbeReading("key", "name", Assignment(make_task("kvpr"), 100), tuple(examples))


def test_groups_of_one_gold_take_the_number_of_the_first() -> None:
    assert reading([5, 6, 5, 7, 6, 5], 2).groups == tuple(np.repeat([0, 1, 0, 3, 1, 0], 2))


@pytest.mark.parametrize("golds", [list(range(48)), [0] * 45 + list(range(48))])
def test_probes_of_many_classes_can_be_estimated(golds: list[int]) -> None:
    settings = from_flat(ProbeSettings, ("x",), {"positions": 44, "seeds": 1, "items": 50})
    assert seconds_for(reading(golds, 44), 1, 3, settings, "cpu") > 0
