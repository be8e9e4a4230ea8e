"""The sentences of a flow run: numbers as in the rows, which block is first, silence where nothing can be told."""

import math
import re
from dataclasses import replace

import pytest
from store_rows import MakeRun, layer_row, run_info

from repflow.core import LayerRow
from repflow.report.reading import read
from repflow.store import Run, open_run
from repflow.studies.flow.answers import MOST, answers
from repflow.studies.kit.saying import CARE
from repflow.studies.kit.study import Answer


def curve(label: str, values: list[float], spare: float = 0.01, **more: object) -> list[LayerRow]:
    given = {"tokens": "no_sink", "n_units": 40, "n_examples": 40} | more
    return [
        layer_row(label, i + 1, x, ci_low=x - spare, ci_high=x + spare, **given) for i, x in enumerate(values)
    ]  # fmt: skip


def told(run: Run) -> list[Answer]:
    return answers(read(run))


def run_of(make_run: MakeRun, curves: dict[str, list[float]], spare: float = 0.01) -> Run:
    rows = [row for label, values in curves.items() for row in curve(label, values, spare)]
    return make_run("r", rows, run_info(*curves))


def test_the_first_block_whose_whole_interval_is_past_decides(make_run: MakeRun) -> None:
    run = run_of(make_run, {"m": [0.3, 0.805, 0.9, 0.9], "n": [0.2, 0.3, 0.85, 0.9]})
    first = told(run)[0]
    assert first.headline == "Which model homogenises earliest is not clear", "both pass for certain at block.2 only"
    assert "m 0.900 after block.2 and n 0.850 after block.2" in first.evidence


def test_a_model_that_is_clearly_first_is_named_with_its_block(make_run: MakeRun) -> None:
    run = run_of(make_run, {"n": [0.2, 0.3, 0.85, 0.9], "m": [0.3, 0.85, 0.9, 0.9], "o": [0.1, 0.2, 0.3, 0.4]})
    first = told(run)[0]
    assert first.headline == "m homogenises earliest, after block.1"
    assert "at 50% of depth" in first.evidence
    assert "Not above it anywhere, as a whole interval: o." in first.evidence
    assert first.rows[0]["site"] == "block.1"
    assert first.rows[0]["subject"] == "m"


def test_nobody_past_the_threshold_says_who_comes_nearest(make_run: MakeRun) -> None:
    first = told(run_of(make_run, {"m": [0.5, 0.1, 0.1, 0.1], "n": [0.3, 0.6, 0.7, 0.7]}))[0]
    assert first.headline == "No model homogenises; m comes nearest"
    assert first.small == "95% intervals: m [0.490, 0.510], n [0.290, 0.310]."
    near = told(make_run("near", [*curve("k", [0.5] * 4), *curve("l", [0.495] * 4)], run_info("k", "l")))[0]
    assert near.headline == "No model homogenises; which comes nearest is unclear"
    wide = told(make_run("wide", curve("k", [0.5, 0.79, 0.1, 0.1], 0.05), run_info("k")))[0]
    assert wide.headline == "k does not clearly homogenise"
    assert "It may be above in k." in wide.evidence


def test_few_units_are_silent_and_say_so(make_run: MakeRun) -> None:
    rows = [replace(row, ci_low=math.nan, ci_high=math.nan, n_units=4) for row in curve("m", [0.9] * 4)]
    made = told(make_run("few", rows, run_info("m")))
    assert made[0].headline == "Nothing can be told of so few units"
    assert made[0].next == "repflow flow m --context 128 --examples 120"
    assert made[-1].headline == CARE
    assert not re.search(r"homogenises|0\.9", " ".join(each.headline + each.evidence for each in made))


def test_the_guess_says_that_it_is_one_and_names_the_command(make_run: MakeRun) -> None:
    (guess,) = [each for each in told(run_of(make_run, {"m": [0.1] * 4})) if "guess" in each.headline]
    assert guess.headline == "Probe block.1 first: only a guess"
    assert guess.next == "repflow probe m --task kvpr --items 8"
    assert guess.rows == ()


def test_twenty_models_make_no_list_of_names(make_run: MakeRun) -> None:
    labels = [f"model-{i:02d}" for i in range(20)]
    made = told(run_of(make_run, {label: [0.02 * i, 0.1, 0.1, 0.6] for i, label in enumerate(labels)}))
    for each in made:
        assert sum(label in each.evidence for label in labels) <= 6, each.evidence
        assert len(each.headline.split()) <= 9, each.headline
        assert len(each.next.split()) < 20


@pytest.mark.parametrize("directory", ["zoo:training", "studies/zoo/flow"])
def test_the_numbers_of_real_runs_are_those_of_the_rows(directory: str, pytestconfig: pytest.Config) -> None:
    run = open_run(directory if directory.startswith("zoo") else pytestconfig.rootpath / directory)
    made = told(run)
    assert 3 <= len(made) <= MOST
    assert made[-1].headline == CARE
    layers = run.layers[run.layers["metric"].eq("inter_token_cosine") & run.layers["variant"].eq("raw")]
    layers = layers[layers["tokens"].eq("no_sink") & layers["depth"].between(1e-9, 1 / 3 + 1e-9)]
    if "step" in layers and layers["step"].notna().any():
        layers = layers[layers["step"] == layers.groupby("subject")["step"].transform("max")]
    tops = layers.loc[layers.groupby("subject")["value"].idxmax()].set_index("subject")
    first = made[0]
    assert {row["subject"]: row["site"] for row in first.rows} == tops["site"].to_dict()
    best = tops["value"].idxmax()
    assert f"{tops['value'].max():.3f}"[:4] in first.evidence
    rivals = tops[tops["ci_high"] >= tops.loc[best, "ci_low"]]
    assert ("unclear" in first.headline) == (len(rivals) > 1)
