"""The section on trained against random weights: what is drawn, what the table says, and what is left out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from attribution_run import LEVELS, SCHEMES, THIRDS, TRAINED, attribution_run, share, value
from probe_run import write_probe_run
from rich.console import Console

from repflow.core import NotEnoughData, UnknownName
from repflow.models import SCHEMES as KNOWN
from repflow.report import Plots, write_report
from repflow.report._attributionpanels import attribution_panels
from repflow.report._attributionplots import SCHEMES as LOOKS
from repflow.report._attributiontable import FILLS
from repflow.report._panels import Panel, View
from repflow.report._source import read
from repflow.store import Run, summary

TBM, SSM = TRAINED[0][0], TRAINED[1][0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return attribution_run(tmp_path_factory.mktemp("attribution") / "run")


@pytest.fixture(scope="module")
def panels(run: Run) -> list[Panel]:
    return attribution_panels(read(run))


@pytest.fixture(scope="module")
def page(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(run, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8")


def view(panel: Panel, tokens: str, choice: str) -> View:
    return next(v for v in panel.views if (v.tokens, v.choice) == (tokens, choice))


def traces(figure: Any) -> dict[str, Any]:
    return {trace["uid"]: trace for trace in figure["data"]}


def test_every_scheme_has_its_look() -> None:
    assert set(LOOKS) == set(KNOWN)
    assert len({(look.colour, look.marker, look.hollow) for look in LOOKS.values()}) == len(KNOWN)


def test_lines_are_the_rows(panels: list[Panel]) -> None:
    depth = panels[0]
    assert [name for name, _ in depth.legend] == ["trained", *SCHEMES]
    assert [cell.full for cell in depth.cells] == [TBM, SSM]
    figure: Any = view(depth, "no_sink", "standardised").figures[1]
    found = traces(figure)
    x = found["kaiming-line"]["x"]
    assert found["trained-line"]["y"] == pytest.approx([value("SSM", d, "standardised") for d in x], rel=1e-4)
    wanted = [value("SSM", d, "standardised") * share("SSM", "kaiming", d) for d in x]
    assert found["kaiming-line"]["y"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert found["kaiming-low"]["y"] == pytest.approx([y - 0.05 for y in wanted], rel=1e-3, abs=1e-5)
    assert figure["data"][-1]["uid"].startswith("trained"), "on top of the others"


def test_the_table_says_shares_and_verdicts(panels: list[Panel]) -> None:
    table: Any = view(panels[1], "all", "raw").table
    assert table.headings == ("trained", *(f"share, {s}" for s in SCHEMES), "verdict")
    (first, lines), (second, others) = table.groups
    assert (first.label, second.label) == (TBM, SSM)
    assert [third for third, _ in lines] == [third for third, _ in THIRDS]
    cells = lines[0][1]
    assert [cell.text for cell in cells[1:-1]] == [f"{LEVELS[s]:.2f}" for s in SCHEMES]
    assert cells[1].small == "[0.90, 1.00]"
    assert (cells[-1].text, cells[-1].small) == ("architecture", "shuffled trained weights lose it")
    assert cells[-1].fill == cells[1].fill == FILLS["architecture"]
    assert others[2][1][-1].text == "training"
    assert others[2][1][-1].fill == FILLS["training"]
    assert others[0][1][-1].fill == ""
    said = view(panels[1], "all", "raw").said
    assert said.startswith("Architecture: pythia-tiny (early, middle and late). Training:")
    assert said.endswith("Undecided: 2 of 6.")


def test_the_report_lists_the_trained_subjects_only(page: str) -> None:
    assert "Architecture or training?" in page
    facts = page[page.index('id="run"') : page.index("</header>")]
    assert len(re.findall(r'data-subject="\d+"', facts)) == 2
    assert "init=config:0" not in facts
    assert 'id="findings"' not in page, "the verdicts have a table of their own"
    drawn = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    flow = next(panel for key, panel in drawn.items() if key.endswith("-inter_token_cosine"))
    assert {t["uid"].split("-")[0] for t in flow["views"][0]["figures"][0]["data"]} == {"s0", "s1"}
    assert "shares.csv" in page


def test_the_notebook_figure(run: Run) -> None:
    figure: Any = Plots(run).attribution(SSM, variant="raw", tokens="all")
    names = [trace.name for trace in figure.data if trace.showlegend is not False and trace.mode == "lines+markers"]
    assert names == [*SCHEMES, "trained"]
    line = next(trace for trace in figure.data if trace.uid == "trained-line")
    assert line.y[-1] == pytest.approx(value("SSM", 1, "raw"), rel=1e-4)
    with pytest.raises(UnknownName, match="did you mean"):
        Plots(run).attribution("pythia-tyni")


def test_draws_can_be_drawn_by_themselves(run: Run) -> None:
    """`run.plot` knows every subject of the run, the draws too."""
    figure: Any = Plots(run).inter_token_cosine()
    labels = {trace.meta[0] for trace in figure.data if trace.mode == "lines+markers"}
    assert f"{TBM}@init=config:1" in labels


def test_a_run_of_another_kind_has_none_of_it(tmp_path: Path) -> None:
    other = write_probe_run(tmp_path / "run")
    assert attribution_panels(read(other)) == []
    with pytest.raises(NotEnoughData, match="repflow attribute"):
        Plots(other).attribution()


def test_the_printed_table_fits_80_columns(run: Run) -> None:
    console = Console(width=80, record=True, force_terminal=False)
    summary(run, console=console)
    text = console.export_text()
    lines = text.splitlines()
    assert max(len(line) for line in lines if str(run.directory) not in line) <= 80
    late = next(line for line in lines if line.split()[:1] == ["late"] and "training" in line)
    assert late.split() == ["late", "0.447", "0.09", "0.04", "to", "0.14", "0.09", "to", "0.11", "0.04", "training"]
    assert "and 24 more" in text
    assert "finding:" not in text
