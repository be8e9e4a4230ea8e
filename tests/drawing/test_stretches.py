"""Lines and bands join what was measured side by side; a point whose neighbours were left out stands alone."""

import numpy as np
import pandas as pd
import pytest
from synthetic import TRIO, make_run

from repflow.drawing.source import Subject
from repflow.drawing.stretches import parted, ranks, spread, stretches
from repflow.drawing.style import INK, Style
from repflow.report import Plots
from repflow.studies.ablate.figures import block_curves, window_curves
from repflow.studies.ablate.frames import Column
from repflow.studies.dynamics.figures import influence_curves, memory_figure
from repflow.studies.steps.figures import third_curves

COLUMN = Column("next_token_loss", "nats", "all")
TWO = tuple(Subject(name, name, "TBM", {}, Style(INK, "solid", "circle", hollow=False)) for name in ("a", "b"))


def named(figure, ending):
    return [t for t in figure["data"] if t["uid"].endswith(ending)]


def segments(line):
    """The runs of points that a drawn line joins."""
    found = [[]]
    for x in line["x"]:
        found.append([]) if x is None else found[-1].append(x)
    return found


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        ([], []),
        ([3], [[0]]),
        ([0, 11], [[0], [1]]),
        ([0, 1, 2], [[0, 1, 2]]),
        ([0, 1, 5, 7, 8], [[0, 1], [2], [3, 4]]),
    ],
)
def test_neighbours_make_a_stretch(places, wanted):
    runs = stretches(places)
    assert [list(range(run.start, run.stop)) for run in runs] == wanted
    assert [x for x in parted(places, runs) if x is not None] == places
    assert parted(places, runs).count(None) == max(0, len(wanted) - 1)


def test_what_is_unknown_parts_its_neighbours():
    assert stretches([0, 1, 2, 3], [True, False, True, True]) == [slice(0, 1), slice(2, 4)]
    assert ranks([4, 64], [64, 4, 16, 4]) == [0, 2]


def test_a_lone_point_has_its_interval_as_a_bar():
    drawn = list(spread("s0", [0, 1, 5], [1.0, 2.0, 3.0], [2.0, 3.0, 5.0], [3.0, 4.0, 6.0], [0, 1, 5], "#000", "#eee"))
    assert [t["uid"] for t in drawn] == ["s0-low", "s0-high", "s0-bars"]
    assert drawn[0]["x"] == drawn[1]["x"] == [0, 1]
    bars = drawn[2]
    assert (bars["x"], bars["y"]) == ([5], [5.0])
    assert (bars["error_y"]["array"], bars["error_y"]["arrayminus"]) == ([1.0], [2.0])


def ablations(places, subject="a", name="block"):
    value = [0.1 * (place + 1) for place in places]
    frame = pd.DataFrame({name: places, "subject": subject, "what": "norm_reset", "difference": value})
    return frame.assign(difference_low=frame["difference"] - 0.01, difference_high=frame["difference"] + 0.03)


@pytest.mark.parametrize(
    ("blocks", "lines", "bands", "bars"),
    [
        ([0, 11], [[0], [11]], [], [0, 11]),
        ([0, 1, 2], [[0, 1, 2]], [[0, 1, 2]], []),
        ([0, 4, 5, 6, 11], [[0], [4, 5, 6], [11]], [[4, 5, 6]], [0, 11]),
    ],
)
def test_blocks_that_were_not_changed_are_not_bridged(blocks, lines, bands, bars):
    figure = block_curves(ablations(blocks), COLUMN)
    (line,) = named(figure, "-line")
    assert segments(line) == lines
    assert len(line["customdata"]) == len(line["x"])
    assert [t["x"] for t in named(figure, "-low")] == [t["x"] for t in named(figure, "-high")] == bands
    assert [x for t in named(figure, "-bars") for x in t["x"]] == bars


def test_a_window_that_one_model_was_not_given_parts_its_line_only():
    rows = pd.concat([ablations([4, 16, 64], "a", "window"), ablations([4, 64], "b", "window")])
    figure = window_curves(rows, COLUMN, TWO)
    assert [segments(line) for line in named(figure, "-line")] == [[[4, 16, 64]], [[4], [64]]]
    assert [t["uid"] for t in named(figure, "-bars")] == ["s1-bars"]


def test_a_site_that_was_not_measured_parts_the_curve_over_depth(tmp_path):
    run = make_run(tmp_path, TRIO[:1])
    hole = (run.layers["metric"] == "inter_token_cosine") & run.layers["site"].isin(["block.3", "block.5"])
    run.layers = run.layers[~hole].reset_index(drop=True)
    figure = Plots(run).inter_token_cosine().to_plotly_json()
    (line,) = named(figure, "-line")
    assert [len(part) for part in segments(line)] == [4, 1, 6]
    assert [len(t["x"]) for t in named(figure, "-low")] == [4, 6]
    assert [len(t["x"]) for t in named(figure, "-bars")] == [1]


def test_distances_and_lags_that_are_missing_part_their_lines():
    bins = [(0, 0), (1, 1), (2, 3), (4, 7)]
    rows = pd.DataFrame(bins, columns=["distance", "distance_to"]).assign(subject="a", value=1.0, n_examples=9)
    both = pd.concat([rows, rows.drop(index=2).assign(subject="b")]).assign(ci_low=0.9, ci_high=1.1)
    figure = influence_curves(both, TWO)
    assert [[len(part) for part in segments(line)] for line in named(figure, "-line")] == [[4], [2, 1]]
    lags = pd.DataFrame({"lag": [1, 2, 4, 8], "site": "block.0", "depth": 0.5, "bound": 0.9, "measured": 0.5})
    lags.loc[2, "measured"] = np.nan
    figure = memory_figure(lags)
    assert segments(named(figure, "-bound")[0]) == [[1, 2, 4, 8]]
    assert segments(named(figure, "-measured")[0]) == [[1, 2], [8]]


def test_a_step_without_a_value_parts_band_and_line():
    rows = pd.DataFrame({"step": [0, 1, 10, 100], "value": [0.1, 0.2, np.nan, 0.4], "third": "early", "subject": "a"})
    rows = rows.assign(ci_low=rows["value"] - 0.1, ci_high=rows["value"] + 0.1, sites=3)
    figure = third_curves(rows, TWO[:1], "early")
    assert named(figure, "-line")[0]["y"] == [0.1, 0.2, None, 0.4]
    assert [len(t["x"]) for t in named(figure, "-low")] == [2]
    assert [t["y"] for t in named(figure, "-bars")] == [[0.4]]
