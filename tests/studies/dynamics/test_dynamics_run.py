"""A dynamics run: its rows are what the measurements by themselves give, stopped or not, in any batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import repflow
from repflow.core import BadSetting, Example, Interrupted, ModelProblem, Origin
from repflow.models import load
from repflow.store import Run
from repflow.studies.dynamics import influence as dynamics_influence
from repflow.studies.dynamics import subject as dynamics_subject
from repflow.studies.dynamics.estimate import distance_bins, influence_rows, recency_slopes
from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow
from repflow.studies.dynamics.settings import DynamicsMeasureSettings
from repflow.studies.dynamics.ssm.influence import Probing, influence_squares
from repflow.studies.kit.units import units_of
from repflow.tasks import make_task

HYBRID, PURE = "config:bamba,layers=2,width=32", "config:gpt_neox,layers=2,width=32"
SETTINGS: dict[str, Any] = {"context": 40, "examples": 10, "influence_tokens": 2, "replicates": 40}
SMALL = SETTINGS | {"batch_tokens": 320, "shard": 2}
"""The same in smaller batches: five a subject for the gradients."""
TABLES = {"transitions": TransitionRow, "influence": InfluenceRow, "recency": RecencyRow, "bounds": BoundRow}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    return repflow.dynamics([HYBRID, PURE], out=tmp_path_factory.mktemp("dynamics") / "run", **SETTINGS)


def mine(run: Run, table: str, **wanted: Any) -> pd.DataFrame:
    frame = run.table(table)
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame.reset_index(drop=True)


@pytest.mark.parametrize("subject", [HYBRID, PURE])
def test_influence_is_that_of_the_examples_by_themselves(run: Run, subject: str) -> None:
    loaded = load(subject)
    examples = make_task("text").build(loaded.tokenizer, n=10, context=40, seed=0)
    squares = np.concatenate([influence_squares(loaded, [e], Probing(2, 1, 19)) for e in examples])
    rows = mine(run, "influence", subject=subject)
    assert list(zip(rows["distance"], rows["distance_to"], strict=True)) == [
        *((0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 19))
    ]
    for _, row in rows.iterrows():
        cut = squares[:, row["distance"] : row["distance_to"] + 1]
        assert row["value"] == pytest.approx(np.sqrt(cut.mean()), rel=1e-4)
        assert row["share"] == pytest.approx((cut.sum(1) / squares.sum(1)).mean(), rel=1e-4)
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        assert (row["n_examples"], row["n_tokens"]) == (10, 20)
    assert rows["share"].sum() == pytest.approx(1)


def test_the_slope_is_the_least_squares_line(run: Run) -> None:
    rows = mine(run, "influence", subject=HYBRID)[1:]
    x = np.log(np.sqrt(rows["distance"] * rows["distance_to"]))
    (row,) = mine(run, "recency", subject=HYBRID).to_dict("records")
    assert row["slope"] == pytest.approx(np.polyfit(x, np.log(rows["value"]), 1)[0])
    assert row["ci_low"] < row["slope"] < row["ci_high"]
    assert (row["reach"], row["n_examples"]) == (19, 10)


def test_a_power_law_has_its_exponent_for_slope() -> None:
    bins = distance_bins(100)
    assert bins[-1] == (64, 100)
    values = np.array([[1.0], *([(a * b) ** -0.75] for a, b in bins[1:])])
    assert recency_slopes(values, bins)[0] == pytest.approx(-1.5)
    assert np.isnan(recency_slopes(values * 0, bins)[0])
    assert np.isnan(recency_slopes(values[:2], bins[:2])[0]), "one distance has no slope"


def test_only_state_space_blocks_have_transitions(run: Run) -> None:
    rows = run.table("transitions")
    assert set(zip(rows["subject"], rows["site"], strict=True)) == {(HYBRID, "block.0")}
    blocks = run.table("bounds").query("site != 'path'")
    assert set(zip(blocks["subject"], blocks["site"], strict=True)) == {(HYBRID, "block.0")}
    assert (blocks["use"] <= 1 + 1e-9).all()
    assert (blocks["ratio"] >= 1 - 1e-9).all()
    lives = mine(run, "transitions", quantity="half_life")["value"]
    assert lives.is_monotonic_increasing


def test_both_path_inequalities_stand_for_every_subject(run: Run) -> None:
    rows = mine(run, "bounds", site="path")
    assert len(rows) == 2 * 2 * 2, "subjects, inequalities, policies"
    assert (rows["use"] <= 1).all()
    assert (rows["ratio"] >= 1).all()
    assert (rows["use"] <= 1 / rows["ratio"] + 1e-9).all(), "the mean is below the largest"
    assert rows.query("tokens == 'all'")["n"].tolist() == [400] * 4
    assert rows["use_low"].lt(rows["use_high"]).all()


def assert_close(one: Run, other: Run) -> None:
    for name in TABLES:
        left, right = one.table(name), other.table(name)
        numbers = left.select_dtypes("number").columns.tolist()
        pd.testing.assert_frame_equal(left.drop(columns=numbers), right.drop(columns=numbers))
        np.testing.assert_allclose(
            left[numbers].to_numpy(dtype=float), right[numbers].to_numpy(dtype=float), rtol=2e-4, atol=1e-9
        )


def test_batches_do_not_matter(run: Run, whole: Run) -> None:
    assert_close(run, whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    return repflow.dynamics([HYBRID, PURE], out=tmp_path_factory.mktemp("dynamics") / "whole", **SMALL)


@pytest.mark.parametrize("calls", [1, 4, 6])
def test_stopped_and_resumed_is_the_run_that_nobody_disturbed(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    work, seen = dynamics_influence.influence_squares, []

    def stop(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == calls:
            raise KeyboardInterrupt
        return work(*arguments)

    monkeypatch.setattr(dynamics_influence, "influence_squares", stop)
    with pytest.raises(Interrupted):
        repflow.dynamics([HYBRID, PURE], out=tmp_path / "run", **SMALL)
    before = len(seen)
    run = repflow.dynamics([HYBRID, PURE], out=tmp_path / "run", resume=True, **SMALL)
    assert len(seen) - before == 10 - (calls - 1), "five batches a subject, those that were done not again"
    for name in TABLES:
        path = f"{name}.parquet"
        assert (run.directory / path).read_bytes() == (whole.directory / path).read_bytes(), name


def test_influence_can_be_left_out(tmp_path: Path) -> None:
    run = repflow.dynamics(PURE, out=tmp_path / "run", **SETTINGS | {"influence_tokens": 0})
    assert run.table("influence").empty
    assert run.table("recency").empty
    assert len(run.table("bounds")) == 4


def test_distances_end_where_examples_do(tmp_path: Path) -> None:
    run = repflow.dynamics(PURE, out=tmp_path / "run", **SETTINGS | {"max_distance": 100})
    assert run.table("recency")["reach"].tolist() == [39]
    assert any("up to 39 tokens" in warning for warning in run.info["warnings"])
    assert run.table("influence")["n_tokens"].tolist() == [10] * 7, "one token has so many before it"


def test_examples_too_short_for_a_distance_do_not_count_there() -> None:
    squares = np.array([[4.0, 1.0, 1.0, 1.0], [4.0, 1.0, np.nan, np.nan], [4.0, 4.0, 4.0, 4.0]])
    origin = Origin("s", "f", "trained", "text", 8)
    examples = [Example(i, (1,)) for i in range(3)]
    rows, slope = influence_rows(origin, squares, [2, 1, 2], examples, DynamicsMeasureSettings(), units_of(examples))
    assert [row.n_examples for row in rows] == [3, 3, 2]
    assert [row.n_tokens for row in rows] == [5, 5, 4]
    assert [row.value for row in rows] == pytest.approx(np.sqrt([4.0, 2.0, 2.5]).tolist())
    assert [row.share for row in rows] == pytest.approx([(4 / 7 + 1 / 4) / 2, (1 / 7 + 1 / 4) / 2, (2 / 7 + 1 / 2) / 2])
    assert slope.n_examples == 2


def test_non_finite_gradients_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(_: Any, examples: Any, probing: Probing) -> np.ndarray:
        return np.full((len(examples), probing.reach + 1), np.inf)

    monkeypatch.setattr(dynamics_influence, "influence_squares", spoiled)
    with pytest.raises(ModelProblem, match="non-finite gradients in 10 of 10 examples, first in example 0"):
        repflow.dynamics(PURE, out=tmp_path / "run", **SETTINGS)


def test_what_one_subject_cannot_have_is_left_out_there_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gradient passes through one of two; through neither, it is an error."""
    real, refusing = influence_squares, {HYBRID}

    def checked(subject: Any, _: Any) -> None:
        if subject.facts.label in refusing:
            raise ModelProblem(f"{subject.facts.label}: no gradient passes")

    monkeypatch.setattr(dynamics_subject, "check_gradient", checked)
    run = repflow.dynamics([HYBRID, PURE], out=tmp_path / "one", **SETTINGS)
    assert run.table("influence")["subject"].unique().tolist() == [PURE]
    assert set(run.table("bounds")["subject"]) == {HYBRID, PURE}
    assert f"influence is left out: {HYBRID}: no gradient passes" in run.info["warnings"]
    assert any(line.startswith(f"{PURE} has no state-space block") for line in run.info["warnings"])
    refusing.clear()

    def spoiled(subject: Any, examples: Any, probing: Probing) -> np.ndarray:
        return real(subject, examples, probing) * (np.nan if subject.facts.label == PURE else 1)

    monkeypatch.setattr(dynamics_influence, "influence_squares", spoiled)
    run = repflow.dynamics([HYBRID, PURE], out=tmp_path / "two", **SETTINGS)
    assert run.table("influence")["subject"].unique().tolist() == [HYBRID]
    assert any(f"left out: {PURE}" in line and "non-finite gradients" in line for line in run.info["warnings"])
    refusing |= {HYBRID, PURE}
    with pytest.raises(ModelProblem, match="no gradient passes"):
        repflow.dynamics([HYBRID, PURE], out=tmp_path / "none", **SETTINGS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"influence_tokens": -1}, "--influence-tokens must be at least 0"),
        ({"directions": 0}, "--directions must be at least 1"),
        ({"max_distance": -3}, "--max-distance must be at least 0"),
        ({"replicates": 3}, "--replicates must be at least 39"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        repflow.dynamics(PURE, **settings)


def test_the_tables_have_their_columns(run: Run) -> None:
    for name, kind in TABLES.items():
        assert list(run.table(name).columns) == list(kind.__dataclass_fields__), name
