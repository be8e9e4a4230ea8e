"""Runs of models in training: the last step, thirds of depth and their intervals, and what is printed of them."""

import dataclasses
import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from store_rows import MakeRun, layer_row, pair_row, path_row, run_info

from repflow.core import LayerRow, interval
from repflow.report.comparison import print_comparison
from repflow.report.show import summary
from repflow.store import Run, at_last_step, compare, last_steps, steps_of
from repflow.store import told_steps as told
from repflow.studies.kit.thirds import changes, thirds

STEPS = (0, 1, 4, 16)
RISE = (0.1, 0.1, 0.5, 0.6)
"""Values at the steps: more than half of the way is done by step 4."""
B = 400


def rows(values=RISE, subject: str = "m", steps=STEPS, **changes) -> list[LayerRow]:
    """6 sites of 4 blocks (embed, block.0 .. block.3, final_norm) a step; the value grows by 0.01 from site to site."""
    return [
        layer_row(subject, site, value + 0.01 * site, step=step, **changes)
        for step, value in zip(steps, values, strict=True)
        for site in range(6)
    ]


def drawn(layers: list[LayerRow], spread: float = 0.1) -> dict[str, np.ndarray]:
    """Replicates that move by one draw at all sites and steps, and by another at every step."""
    draws = np.random.default_rng(1)
    common = draws.normal(0, spread, B)
    own = {row.step: draws.normal(0, spread / 4, B) for row in layers}
    return {"layers": np.array([row.value + common + own[row.step] for row in layers])}


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    layers = rows()
    return make_run("a", layers, run_info("m"), replicates=drawn(layers))


@pytest.mark.parametrize(
    "column",
    [[None, None], [None, 3], [math.nan, 3.0], pd.array([None, 3], dtype="Int64"), [math.nan, math.nan]],
)
def test_steps_are_read_whatever_the_type_of_their_column(column) -> None:
    steps = steps_of(pd.DataFrame({"step": column}))
    assert steps.dtype == float
    np.testing.assert_array_equal(steps, [math.nan, math.nan if pd.isna(column[1]) else 3.0])


def test_a_table_without_the_column_has_no_steps() -> None:
    frame = pd.DataFrame({"subject": ["m"]})
    assert np.isnan(steps_of(frame)).all()
    assert last_steps(frame) == {}
    assert at_last_step(frame, {}) is frame


def test_the_last_step_is_each_subjects_own(make_run: MakeRun) -> None:
    layers = [*rows(), *rows(subject="n", steps=(0, 1, 2, 3)), layer_row("plain")]
    run = make_run("a", layers, run_info("m", "n", "plain"), paths=[path_row("n", step=7)])
    last = last_steps(run.layers, run.paths)
    assert last == {"m": 16, "n": 7}
    assert at_last_step(run.layers, last)["subject"].value_counts().to_dict() == {"m": 6, "plain": 1}
    assert told(last) == "step 16 of m, 7 of n"
    assert told({"m": 3000, "n": 3000}) == "step 3,000"
    assert told({}) == ""


def test_thirds_are_means_over_blocks_and_their_replicates(run: Run) -> None:
    found = thirds(run.layers, run.replicates)
    assert found.frame["third"].tolist() == ["early", "middle", "late"] * 4
    at = found.frame[found.frame["step"] == 4].set_index("third")
    # blocks 0..3 lie at depths 1/4, 2/4, 3/4, 1; the embedding and the final norm are left out
    np.testing.assert_allclose(at["value"], [0.51, 0.52, 0.535])
    assert at["sites"].tolist() == [1, 1, 2]
    mine = run.layers[(run.layers["step"] == 4) & run.layers["site"].isin(["block.2", "block.3"])]
    means = run.replicates["layers"][mine.index].astype(np.float64).mean(axis=0)
    low, high = interval(means, 8)
    np.testing.assert_allclose(at.loc["late", ["ci_low", "ci_high"]].astype(float), [low, high])
    assert found.replicates is not None
    np.testing.assert_allclose(found.replicates[found.frame.index[(found.frame["step"] == 4)][2]], means)


@pytest.mark.parametrize("blocks", [3, 6, 12, 18, 48])
def test_a_depth_of_a_third_belongs_to_the_third_it_ends(blocks: int) -> None:
    layers = pd.DataFrame([{**_fields(layer_row(step=1)), "depth": (i + 1) / blocks} for i in range(blocks)])
    assert thirds(layers, {}).frame["sites"].tolist() == [blocks // 3] * 3


def _fields(row: LayerRow) -> dict:
    return {name: getattr(row, name) for name in row.__slots__}


def test_the_hidden_states_list_leaves_out_its_ends(make_run: MakeRun) -> None:
    layers = [layer_row(site_index=i, value=i, site=f"hf.{i}", depth=i / 4, step=1) for i in range(5)]
    run = make_run("a", layers, run_info("m"))
    assert thirds(run.layers, {}).frame[["third", "value"]].to_numpy().tolist() == [
        ["early", 1.0],
        ["middle", 2.0],
        ["late", 3.0],
    ]


def test_without_replicates_there_is_no_interval_and_no_verdict(run: Run) -> None:
    found = thirds(run.layers, {})
    assert found.replicates is None
    assert found.frame[["ci_low", "ci_high"]].isna().all(axis=None)
    told_of = changes(found)
    assert told_of["clear"].isna().all()
    assert told_of["halfway_step"].isna().all()
    np.testing.assert_allclose(told_of["change"], 0.5)


def test_changes_have_a_paired_interval_and_the_step_of_half_the_way(run: Run) -> None:
    found = thirds(run.layers, run.replicates)
    late = changes(found).set_index("third").loc["late"]
    assert (late["first_step"], late["last_step"], late["before_step"], late["halfway_step"]) == (0, 16, 1, 4)
    assert late["change"] == pytest.approx(0.5)
    assert late["clear"]
    assert 0.4 < late["change_low"] < 0.5 < late["change_high"] < 0.6
    width = late["change_high"] - late["change_low"]
    assert width < 0.6 * (late["last_high"] - late["last_low"]), "what is common to both steps cancels"
    assert (late["highest"], late["highest_step"]) == (pytest.approx(0.635), 16)


def test_a_fall_is_halfway_where_half_is_lost_and_a_peak_is_named(make_run: MakeRun) -> None:
    layers = rows((0.6, 0.9, 0.5, 0.1))
    run = make_run("a", layers, run_info("m"), replicates=drawn(layers, 0.01))
    (early, *_) = changes(thirds(run.layers, run.replicates)).to_dict("records")
    assert early["clear"]
    assert (early["halfway_step"], early["before_step"], early["highest_step"]) == (16, 4, 1)


def test_no_clear_change_has_no_step(make_run: MakeRun) -> None:
    layers = rows((0.5, 0.8, 0.8, 0.51))
    run = make_run("a", layers, run_info("m"), replicates=drawn(layers))
    told_of = changes(thirds(run.layers, run.replicates))
    assert told_of["clear"].tolist() == [False] * 3
    assert told_of["halfway_step"].isna().all()
    assert told_of["highest_step"].tolist() == [1, 1, 1]


def test_shares_that_are_0_throughout_have_a_width_and_no_clear_change(make_run: MakeRun) -> None:
    layers = [layer_row("m", site, 0.0, step=step, metric="dropped_share", n_examples=30) for step in (0, 1)
              for site in range(6)]  # fmt: skip
    run = make_run("a", layers, run_info("m"), replicates={"layers": np.zeros((12, B))})
    found = thirds(run.layers, run.replicates, "dropped_share")
    assert found.frame["ci_high"].tolist() == [pytest.approx(1 - 0.025 ** (1 / 30))] * 6
    told_of = changes(found)
    assert (told_of["change_low"] < -0.05).all()
    assert (told_of["change_high"] > 0.05).all()


def test_one_step_and_undefined_values(make_run: MakeRun) -> None:
    layers = rows((math.nan, 0.1, 0.2, 0.3))
    run = make_run("a", layers, run_info("m"), replicates=drawn(layers))
    told_of = changes(thirds(run.layers, run.replicates))
    assert told_of["change"].isna().all()
    assert told_of["clear"].isna().all()
    single = make_run("b", rows((0.5,), steps=(3,)), run_info("m"))
    assert changes(thirds(single.layers, {}))["last_step"].tolist() == [3] * 3
    assert changes(thirds(single.layers.iloc[:0], {})).empty


def printed(run: Run) -> str:
    stream = io.StringIO()
    summary(run, console=Console(file=stream, width=80))
    return stream.getvalue()


def test_the_screenful_has_the_thirds_then_the_last_step(run: Run) -> None:
    text = printed(run)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    (early,) = [line for line in lines if line.startswith("early ")]
    assert early.split()[:5] == ["early", "0-16", "0.110", "0.610", "0.500"]
    assert early.split()[-1] == "4"
    assert "At the end of training, step 16" in text
    (last,) = [line for line in lines if "cosine, last block" in line]
    assert last.endswith("0.640 0.540 to 0.740 block.3")
    assert max(map(len, text.splitlines()[1:-1])) <= 80


def test_the_screenful_of_an_ordinary_run_says_nothing_of_training(make_run: MakeRun) -> None:
    text = printed(make_run("a", [layer_row()], run_info("m")))
    assert "At the end of training" not in text
    assert "step" not in text


def test_comparisons_take_the_last_step_and_say_so(make_run: MakeRun, run: Run) -> None:
    pairs = [pair_row("m", "n", value) for value in (0.1, 0.2)]
    stepped = [dataclasses.replace(pair, step=step) for pair, step in zip(pairs, (0, 16), strict=True)]
    layers = [*rows(), *rows(subject="n", values=(0.2, 0.2, 0.6, 0.7))]
    both = make_run("b", layers, run_info("m", "n"), pairs=stepped, replicates=drawn(layers))
    frame = compare(both, both)
    assert frame.attrs["steps"] == {"a": {"m": 16, "n": 16}, "b": {"m": 16, "n": 16}}
    assert len(frame) == 13
    assert frame[frame["table"] == "pairs"]["value_a"].tolist() == [0.2]
    two = compare(both, both, subject_a="m", subject_b="n")
    np.testing.assert_allclose(two["difference"], 0.1)
    replicates = both.replicates["layers"].astype(np.float64)
    low, high = interval(replicates[18 + 24] - replicates[18], 8)
    assert two["difference_low"].iloc[0] == pytest.approx(float(low))
    assert two["difference_high"].iloc[0] == pytest.approx(float(high))
    plain = make_run("c", [layer_row(value=0.5)], run_info("m"))
    mixed = compare(run, plain)
    assert mixed.attrs["steps"] == {"a": {"m": 16}, "b": {}}
    assert mixed["value_a"].tolist() == [pytest.approx(0.61)]
    stream = io.StringIO()
    print_comparison(mixed, console=Console(file=stream, width=200))
    assert "a was measured in training; its last step is compared, step 16" in stream.getvalue()
    assert "b was measured" not in stream.getvalue()
