"""A probe run for papers: its table as CSV and LaTeX, a figure of every panel."""

import pandas as pd
import pytest
from probe_run import SCENES, THREE, summary_of, write_probe_run

from repflow.report import write_figures
from repflow.store import FIGURE_LIST, RunWriter

PLACES = ("last", "gold", "even:2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_probe_run(tmp_path_factory.mktemp("probe") / "run", scenes=SCENES[1:], places=PLACES)


def test_a_figure_a_panel_task_and_place(run, tmp_path):
    names = {path.stem for path in write_figures(run, ("svg",), tmp_path)}
    kinds = {name.partition("_")[0] + "_" + name.split("_")[1] for name in names if name.startswith("probe")}
    assert {"probe_depth", "probe_places", "probe_table"} <= kinds
    captions = (tmp_path / "captions.md").read_text()
    assert all(f"**{name}.**" in captions for name in names - {"captions", "probe_table"})


def test_the_table_holds_every_subject_task_context_and_place(run, tmp_path):
    written = write_figures(run, ("svg",), tmp_path)
    csv, tex = (path for path in written if path.stem == "probe_table")
    pd.testing.assert_frame_equal(pd.read_csv(csv), summary_of(run), check_dtype=False, rtol=1e-12)
    lines = [line for line in tex.read_text().splitlines() if line.endswith(r"\\")]
    assert lines[0] == r"Task & Context & Place & Subject & Peak layer & Peak & Final & Drop \\"
    assert len(lines) == 1 + len(THREE) * 2 * 4
    assert lines[1] == r"kvpr & 2,000 & last token & pythia-tiny & block.3 & 85.0 & 61.7 & 23.3 \\"


def test_what_is_written_goes_with_overwrite(tmp_path):
    found = write_probe_run(tmp_path / "run", THREE[2:], SCENES[:1], ("last", "even:1"))
    names = [path.name for path in write_figures(found, ("pdf",))]
    assert names[-2:] == ["probe_table.csv", "probe_table.tex"]
    assert {*names, FIGURE_LIST} == {path.name for path in (found.directory / "figures").iterdir()}
    (found.directory / "figures" / "probes_mine.pdf").write_text("kept")
    with RunWriter.create(found.directory, {"seed": 1}, "probe", overwrite=True) as writer:
        writer.finish([], [], [], {})
    assert [path.name for path in (found.directory / "figures").iterdir()] == ["probes_mine.pdf"]
