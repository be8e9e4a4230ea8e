"""A lab's run on the page, in the terminal and in a notebook: its question first, its lost cell named."""

import io
import re
from pathlib import Path

import pytest
from lab_run import LOST, write_lab_run
from rich.console import Console

from repflow.report import write_figures, write_report
from repflow.report.run import Run
from repflow.report.show import summary
from repflow.store import open_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab_run(tmp_path_factory.mktemp("lab") / "planted")


@pytest.fixture
def page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")
    return write_report(Run.of(open_run(folder)), tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_answers_the_question(page: str) -> None:
    said = re.sub(r"\s+", " ", page)
    assert "Does attention answer?" in said
    assert "Kvpr, 256 tokens (as trained), against ssm (4%): clearly more: attention (96%);" in said
    assert f"{LOST} (Diverged: the loss is not finite)" in said
    for panel in ("lab_answers", "lab_alike", "lab_course", "lab_depth", "lab_against", "lab_numbers", "lab_contrasts"):
        assert panel in said


def test_later_seeds_are_not_drawn_by_themselves(page: str) -> None:
    assert "attention:0" in page
    assert "<span>attention:1</span>" not in page


def test_show_tells_groups_and_what_is_clear(folder: Path) -> None:
    out = io.StringIO()
    summary(open_run(folder), console=Console(file=out, width=100))
    said = re.sub(r"\s+", " ", out.getvalue())
    assert "Does attention answer?" in said
    assert "ssm + apart 2" in said
    assert "clearly more: attention (96%)" in said
    assert "against attention (0.61): clearly less alike: attention + apart (0.21)" in said
    assert "During training" not in said
    assert "finding:" not in said


def test_findings_are_the_clear_contrasts(folder: Path) -> None:
    run = open_run(folder)
    contrasts = Run.of(run).table("contrasts")
    clear = contrasts[(contrasts["ci_low"] > 0) | (contrasts["ci_high"] < 0)]
    assert len(run.findings) == len(clear) > 0
    assert all("trainings" in finding["claim"] for finding in run.findings)


def test_figures_for_notebooks_and_papers(folder: Path, tmp_path: Path) -> None:
    run = Run.of(open_run(folder))
    figure = run.plot.lab_outcome(outcome="kvpr 512")
    assert {"ssm", "ssm + apart", "attention", "attention + apart"} <= {trace.name for trace in figure.data}
    assert len(run.plot.lab_training().data) > 0
    written = write_figures(run, ("svg",), directory=tmp_path, only="lab_answers")
    assert [path for path in written if path.suffix == ".svg"]
