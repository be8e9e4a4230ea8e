"""How fast states are forgotten, what the bounds say and how far influence reaches: numbers as in the rows."""

from dataclasses import replace
from pathlib import Path

import pytest
from dynamics_run import MAMBA, PYTHIA, write_dynamics_run

from repflow.report.reading import read
from repflow.report.run import Run
from repflow.studies.dynamics.answers import answers
from repflow.studies.kit.saying import CARE
from repflow.studies.kit.study import Answer

TBM_ONLY = ((PYTHIA, "gpt_neox", "TBM", 6, -0.4),)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write_dynamics_run(tmp_path / "r")


def told(run: Run, *changed: tuple[str, object]) -> list[Answer]:
    source = read(run)
    part = replace(source.parts["dynamics"], **dict(changed))
    return answers(replace(source, parts={**source.parts, "dynamics": part}))


def test_half_lives_are_those_of_the_fastest_and_the_slowest_block(run: Run) -> None:
    forgetting = told(run)[0]
    lives = run.table("transitions")
    lives = lives[lives["statistic"].eq("q50") & lives["quantity"].eq("half_life") & lives["context"].eq(64)]
    low, high = lives["value"].min(), lives["value"].max()
    assert forgetting.headline == f"States halve in {low:.0f} to {high:.0f} tokens"
    assert "No state-space block in pythia-tiny." in forgetting.evidence
    assert {row["site"] for row in forgetting.rows} == {"block.0", "block.3"}
    assert {row["subject"] for row in forgetting.rows} == {MAMBA}


def test_a_vacuous_bound_is_called_so(run: Run) -> None:
    holds = told(run)[1]
    assert holds.headline == "The contraction bound says something in every block"
    assert "5.0× in block.0" in holds.evidence
    bounds = run.table("bounds")
    some = bounds.assign(vacuous=bounds["vacuous"] | bounds["site"].eq("block.0"))
    assert told(run, ("bounds", some))[1].headline == "The contraction bound is vacuous in 1 of 4 blocks"
    nothing = told(run, ("bounds", bounds.assign(vacuous=True)))[1]
    assert nothing.headline == "The contraction bound says nothing"
    assert "×" not in nothing.evidence


def test_reach_leaves_out_the_token_itself(run: Run) -> None:
    reach = told(run)[2]
    rows = run.table("influence")
    rows = rows[rows["context"].eq(64) & rows["distance"].gt(0)]
    for label, name in ((PYTHIA, "pythia-tiny"), (MAMBA, "mamba_130m&co-hf")):
        mine = rows[rows["subject"] == label]
        half = mine.loc[mine["share"].cumsum() >= mine["share"].sum() / 2, "distance_to"].iloc[0]
        assert f"{name} {half}" in reach.evidence
    assert "−1.10" in reach.evidence
    assert "31 tokens" in reach.small


def test_without_a_state_space_block_or_influence_it_says_so(tmp_path: Path, run: Run) -> None:
    made = told(write_dynamics_run(tmp_path / "t", TBM_ONLY))
    assert made[0].headline == "No state-space block, so no forgetting"
    assert len(made) == 3
    assert made[-1].headline == CARE
    none = told(run, ("influence", run.table("influence").iloc[:0]))
    assert none[2].headline == "How far influence reaches is not measured"
