"""docs/results/lab.md says what the shipped runs say, and these what their cells say."""

import re
from pathlib import Path

import numpy as np
import pytest
from lab_results import RUNS, table

from repflow.report.run import Run
from repflow.store import open_run
from repflow.studies.lab.grids import grid_of

PAGE = (Path(__file__).parents[2] / "docs" / "results" / "lab.md").read_text(encoding="utf-8")
SHIPPED = sorted(folder.name for folder in RUNS.iterdir())


def section(name: str) -> str:
    (found,) = [part for part in PAGE.split("\n## ") if f"repflow lab {name} " in part]
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_the_table_is_the_runs(name: str) -> None:
    assert "\n".join(table(name)) in PAGE


@pytest.mark.parametrize("name", SHIPPED)
def test_intervals_in_sentences_stand_in_the_tables_or_the_slopes(name: str) -> None:
    run = Run.of(open_run(RUNS / name))
    known = {found for line in table(name) for found in re.findall(r"-?[\d.]+ \[-?[\d.]+, [\d.]+\]", line)}
    for row in run.table("slopes").to_dict("records"):
        ends = sorted(abs(row[end]) for end in ("ci_low", "ci_high"))
        known.add(f"{abs(row['slope']):.2f} [{ends[0]:.2f}, {ends[1]:.2f}]")
    prose = "\n".join(line for line in section(name).splitlines() if not line.startswith("|"))
    told = re.findall(r"-?[\d.]+ \[-?[\d.]+, [\d.]+\]", prose)
    assert told
    assert not set(told) - known


@pytest.mark.parametrize("name", SHIPPED)
def test_a_run_is_of_its_preset_and_whole(name: str) -> None:
    run = Run.of(open_run(RUNS / name))
    lost = set(run.table("failures")["subject"])
    assert {row["label"] for row in run.subjects} | lost == {cell.name for cell in grid_of(name).cells}
    assert run.info["settings"]["cells"] == grid_of(name).given


@pytest.mark.parametrize("name", SHIPPED)
def test_groups_are_those_of_the_cells(name: str) -> None:
    run = Run.of(open_run(RUNS / name))
    cells, layers, groups = run.table("cells"), run.layers, run.table("groups")
    last = cells[cells["step"] == cells.groupby("subject")["step"].transform("max")]
    for row in groups.to_dict("records"):
        mine = last[(last["architecture"] == row["architecture"]) & (last["loss"] == row["loss"])]
        if row["outcome"] == "kvpr 256":
            asked = mine[(mine["task"] == "kvpr") & (mine["context"] == 256)]
            assert row["mean"] == pytest.approx(float(np.mean(asked["right"] / asked["answers"])))
        if row["outcome"] == "late, raw":
            here = layers[
                layers["subject"].isin(set(mine["subject"]))
                & (layers["metric"] == "inter_token_cosine")
                & (layers["variant"] == "raw")
                & (layers["tokens"] == "no_sink")
                & layers["site"].str.startswith("block.")
                & (layers["depth"] > 2 / 3 + 1e-9)
                & (layers["step"] == mine["step"].max())
            ]
            assert row["mean"] == pytest.approx(here.groupby("subject")["value"].mean().mean())


def test_the_seeds_told_one_by_one_are_the_runs() -> None:
    outcomes = Run.of(open_run(RUNS / "hybrids")).table("outcomes")
    asked = outcomes[outcomes["outcome"] == "kvpr 256"]
    for group, told in (("early-4", "93, 1 and 69%"), ("early-6", "0, 0 and 82%"), ("all-attention", "66, 0 and 27%")):
        values = asked[asked["architecture"] == group].sort_values("seed")["value"]
        first, second, third = (f"{100 * value:.0f}" for value in values)
        assert told == f"{first}, {second} and {third}%"
        assert f"{group}{' reached' if group == 'early-4' else ''} {told}" in section("hybrids").replace("\n", " ")


def test_the_trainings_told_one_by_one_are_the_runs() -> None:
    outcomes = Run.of(open_run(RUNS / "regularisers")).table("outcomes")
    asked = outcomes[outcomes["outcome"] == "kvpr 256"]
    told = {
        "none": "0, 20 and 72%",
        "adaptive": "0, 0 and 6%",
        "contrastive": "75, 93 and 95%",
        "diversity": "27, 27 and 94%",
    }
    for loss, numbers in told.items():
        first, second, third = (f"{100 * v:.0f}" for v in asked[asked["loss"] == loss].sort_values("seed")["value"])
        assert numbers == f"{first}, {second} and {third}%"
        assert numbers in section("regularisers").replace("\n", " ")


def test_what_the_regularisers_are_called_clear_in_is_clear() -> None:
    contrasts = Run.of(open_run(RUNS / "regularisers")).table("contrasts")
    clear = contrasts[(contrasts["ci_low"] > 0) | (contrasts["ci_high"] < 0)]
    found = set(zip(clear["loss"], clear["outcome"], strict=True))
    assert {("adaptive", "late, raw"), ("adaptive", "text 256"), ("contrastive", "middle, centred")} <= found
    assert not {(loss, outcome) for loss, outcome in found if loss == "diversity" or outcome.startswith("kvpr")}
    assert [outcome for loss, outcome in found if loss == "contrastive"] == ["middle, centred"]


def test_what_is_said_of_the_regularisers_on_mamba2_is_the_runs() -> None:
    run = Run.of(open_run(RUNS / "regularisers-ssm"))
    asked = run.table("outcomes")[run.table("outcomes")["outcome"] == "kvpr 256"]
    for loss, numbers in (("contrastive", "57, 11 and 16%"), ("none", "14, 11 and 22%")):
        first, second, third = (f"{100 * v:.0f}" for v in asked[asked["loss"] == loss].sort_values("seed")["value"])
        assert numbers == f"{first}, {second} and {third}%"
        assert numbers in section("regularisers-ssm")
    contrasts = run.table("contrasts")
    clear = contrasts[(contrasts["ci_low"] > 0) | (contrasts["ci_high"] < 0)]
    found = set(zip(clear["loss"], clear["outcome"], strict=True))
    assert {("adaptive", "late, raw"), ("contrastive", "late, raw")} <= found
    assert all(outcome.endswith("raw") for _, outcome in found)
