"""Figures for papers of a probe run: what is drawn equals the rows; what is written can be overwritten."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from probe_run import MAMBA, PYTHIA, SCENES, THREE, summary_of, write_probe_run

from repflow.report import write_figures
from repflow.report.reading import read
from repflow.store import RunWriter
from repflow.store.layout import FIGURE_NAME
from repflow.studies.probe.papers import probe_figures

PLACES = ("last", "gold", "even:2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_probe_run(tmp_path_factory.mktemp("probe") / "run", scenes=SCENES[1:], places=PLACES)


@pytest.fixture(scope="module")
def figures(run):
    return drawn(run)


def drawn(run):
    source = read(run)
    assert "probe" in source.parts
    return dict(probe_figures(source))


def rows_of(frame, **wanted):
    return frame[np.all([frame[name] == value for name, value in wanted.items()], axis=0)]


def ys(axes, **look):
    """The heights of the lines of a look, in the order they were drawn."""
    found = [line for line in axes.lines if all(getattr(line, f"get_{k}")() == v for k, v in look.items())]
    return [np.asarray(line.get_ydata(), dtype=float) for line in found]


def test_a_figure_a_task_context_and_place(figures):
    places, scenes = ("last", "gold", "even.1of2", "even.2of2"), ("kvpr-2000", "mdqa-2000")
    kinds = [f"{kind}_{place}" for kind in ("probes", "telling") for place in places]
    assert set(figures) == {f"{kind}_{scene}" for kind in (*kinds, "probe_places") for scene in scenes}


def test_curves_bands_control_marks_and_chance(run, figures):
    (axes,) = figures["probes_gold_mdqa-2000"].axes
    wanted = {"task": "mdqa", "context": 2000, "position": "gold"}
    for subject, band in zip(THREE, axes.collections[::2], strict=True):
        rows = rows_of(run.probes, subject=subject[0], **wanted)
        blocks = rows[rows["site"] != "final_norm"]
        (summary,) = rows_of(run.table("probe_summary"), subject=subject[0], **wanted).to_dict("records")
        colour = next(s.style.colour for s in read(run).subjects if s.label == subject[0])
        own = ys(axes, color=colour)
        np.testing.assert_allclose(own[0], blocks["control"])
        np.testing.assert_allclose(own[1], blocks["accuracy"])
        np.testing.assert_allclose(own[2], rows["accuracy"][rows["site"] == "final_norm"])
        heights = band.get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [blocks["ci_low"].min(), blocks["ci_high"].max()])
        if subject[5] is not None:
            assert ys(axes, markeredgecolor=colour, markersize=9.0) == [], "no peak is marked in noise"
            continue
        peak, last = (ys(axes, markeredgecolor=colour, marker=mark, markersize=9.0) for mark in "os")
        assert (peak[0], last[0]) == (summary["peak"], summary["last"])
    assert any((height == 0.2).all() and len(height) == 2 for height in ys(axes))
    (legend,) = figures["probes_gold_mdqa-2000"].legends
    assert [" (no site above chance)" in text.get_text() for text in legend.texts] == [False, True, False, False, False]
    assert [text.get_text() for text in legend.texts][-2:] == ["chance", "control (permuted labels)"]


def test_readable_at_the_peak_and_after_the_last_block_against_said(run, figures):
    panels = [axes for axes in figures["telling_last_kvpr-2000"].axes if axes.get_visible()]
    assert len(panels) == 2, "the random baseline was not asked"
    for axes, label in zip(panels, (PYTHIA, MAMBA), strict=True):
        told = rows_of(run.table("telling"), subject=label, task="kvpr", context=2000, position="last")
        classes = told.dropna(subset=["gold_class"])
        peak, last = (classes[classes["at"] == at] for at in ("peak", "last"))
        for found, column, dash in ((peak, "probe_above", "-"), (peak, "answered", ":"), (last, "probe_above", "--")):
            (line,) = (line for line in axes.lines if line.get_linestyle() == dash and len(line.get_xdata()) == 5)
            np.testing.assert_allclose(line.get_ydata(), found[column])
            assert list(line.get_xdata()) == [1, 2, 3, 4, 5]


def test_where_nothing_is_above_chance_only_what_is_said_is_drawn(figures):
    for axes in figures["telling_even.1of2_kvpr-2000"].axes[:2]:
        drawn = [line for line in axes.lines if len(line.get_xdata()) == 5]
        assert [line.get_linestyle() for line in drawn] == [":"]
        assert [text.get_text() for text in axes.texts] == ["no site is\nabove chance"]


def test_maps_have_a_row_a_site_and_a_column_a_place(run, figures):
    (mesh,) = (c for c in figures["probe_places_mdqa-2000"].axes[2].collections if isinstance(c, QuadMesh))
    grid = mesh.get_array()
    assert grid is not None
    assert grid.shape == (7, 5), "a gap before the final norm, another before the gold"
    gold = rows_of(run.probes, subject=MAMBA, task="mdqa", position="gold")["accuracy"]
    np.testing.assert_allclose(np.ma.compressed(grid[:, 4]), gold)
    assert np.ma.count_masked(grid) == 5 + 7 - 1


def test_one_place_has_no_map_and_no_answers_no_figure_of_them(tmp_path):
    alone = write_probe_run(tmp_path / "run", THREE[2:], SCENES[:1], ("last",), asked=False)
    assert set(drawn(alone)) == {"probes_last_kvpr-300"}


def test_the_table_holds_every_subject_task_context_and_place(run, tmp_path, monkeypatch):
    monkeypatch.setattr("repflow.report.files.figures_of", lambda _: iter(()))
    csv, tex = write_figures(run, directory=tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(csv), summary_of(run), check_dtype=False, rtol=1e-12)
    lines = [line for line in tex.read_text().splitlines() if line.endswith(r"\\")]
    assert lines[0] == r"Task & Context & Place & Subject & Peak layer & Peak & Final & Drop \\"
    assert len(lines) == 1 + len(THREE) * 2 * 4
    assert lines[1] == r"kvpr & 2,000 & last token & pythia-tiny & block.3 & 85.0 & 61.7 & 23.3 \\"


def test_what_is_written_goes_with_overwrite(tmp_path):
    found = write_probe_run(tmp_path / "run", THREE[2:], SCENES[:1], ("last", "even:1"))
    names = [path.name for path in write_figures(found, ("pdf",))]
    assert names[-2:] == ["probe_table.csv", "probe_table.tex"]
    assert [name for name in names if not FIGURE_NAME.fullmatch(name)] == []
    (found.directory / "figures" / "probes_mine.pdf").write_text("kept")
    with RunWriter.create(found.directory, {"seed": 1}, "probe", overwrite=True) as writer:
        writer.finish([], [], [], {})
    assert [path.name for path in (found.directory / "figures").iterdir()] == ["probes_mine.pdf"]
