"""The section on trained against random weights: what is drawn, what the table says, and what is left out."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from attribution_run import LEVELS, POOL, POWER, SCHEMES, THIRDS, TRAINED, attribution_run, share, value
from page_kit import views
from probe_run import write_probe_run
from rich.console import Console

from repflow.core import NotEnoughData, UnknownName
from repflow.drawing.panel import Panel, View
from repflow.models import SCHEMES as KNOWN
from repflow.models.spec import GENERIC
from repflow.report import Plots, write_figures, write_report
from repflow.report.reading import read
from repflow.report.run import Run
from repflow.report.show import summary
from repflow.studies.attribute.figures import SCHEMES as LOOKS
from repflow.studies.attribute.page import attribution_panels
from repflow.studies.attribute.table import FILLS

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
    assert set(LOOKS) == {*KNOWN, *(f"{name}+matched" for name in GENERIC)}
    assert len({(look.colour, look.marker, look.hollow) for look in LOOKS.values()}) == len(LOOKS)


def test_lines_are_the_rows(panels: list[Panel]) -> None:
    depth = panels[0]
    assert [name for name, _ in depth.legend] == ["trained", *SCHEMES]
    assert [cell.full for cell in depth.cells] == [TBM, SSM]
    figure: Any = view(depth, "no_sink", "centred").figures[1]
    found = traces(figure)
    x = found["kaiming-line"]["x"]
    assert found["trained-line"]["y"] == pytest.approx([value("SSM", d, "centred") for d in x], rel=1e-4)
    wanted = [value("SSM", d, "centred") * share("SSM", "kaiming", d) for d in x]
    assert found["kaiming-line"]["y"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert found["kaiming-low"]["y"] == pytest.approx([y - 0.05 for y in wanted], rel=1e-3, abs=1e-5)
    assert figure["data"][-1]["uid"].startswith("trained"), "on top of the others"


def test_the_table_says_differences_shares_and_verdicts(panels: list[Panel]) -> None:
    table: Any = view(panels[1], "all", "raw").table
    titles = tuple(heading.text for heading in table.headings)
    assert titles == (
        "trained",
        "random − trained",
        *(f"share, {s}" for s in SCHEMES),
        "verdict",
    )
    pool, first, second = table.groups
    assert (pool.head.full, first.head.full, second.head.full) == (POOL, TBM, SSM)
    assert (pool.head.subject, first.head.subject) == ("", TBM), "trainings taken together are no subject"
    assert pool.lines[0].cells[2].small == "[0.90, ∞]"
    assert pool.lines[0].cells[-1].fill == FILLS["reduced by training"]
    assert [line.head.text for line in first.lines] == [third for third, _ in THIRDS]
    cells, others = first.lines[0].cells, second.lines
    trained = value("TBM", 1 / 6, "raw")
    assert cells[1].text == f"{trained * (LEVELS['config'] - 1):+.3f}".replace("-", "−")
    assert cells[1].small.startswith("[−0.0")
    assert [cell.text for cell in cells[2:-1]] == [f"{LEVELS[s]:.2f}" for s in SCHEMES]
    assert cells[2].small == "[0.90, 1.00]"
    assert cells[2].hint == "architecture; p 0.004, corrected for 6 0.024"
    assert cells[2 + SCHEMES.index("kaiming")].fill == FILLS["reduced by training"]
    assert (cells[-1].text, cells[-1].small) == ("architecture", "shuffled trained weights lose it")
    assert cells[-1].fill == cells[2].fill == FILLS["architecture"]
    assert others[2].cells[-1].text == "training"
    assert others[2].cells[-1].fill == FILLS["training"]
    assert others[0].cells[-1].fill == ""
    said = view(panels[1], "all", "raw").said
    assert said.startswith("Architecture: pythia-tiny (early, middle and late). Reduced by training: all 2 trainings")
    assert said.endswith(f"Undecided: 2 of 7. {POWER}")
    assert POWER not in view(panels[1], "all", "centred").said


def test_the_table_for_papers(run: Run, tmp_path: Path) -> None:
    written = [path.name for path in write_figures(run, formats=("svg",), directory=tmp_path)]
    assert {"attribution_table.csv", "attribution_table.tex"} <= set(written)
    frame = pd.read_csv(tmp_path / "attribution_table.csv").fillna({"reason": ""})
    pd.testing.assert_frame_equal(frame, run.table("shares"), check_dtype=False, rtol=1e-12)
    text = (tmp_path / "attribution_table.tex").read_text(encoding="utf-8")
    assert text.count(r" \\") == 1 + 2 * 2 * 3, "a heading, two subjects, two variants, three thirds"
    for words in (r"mamba\_130m\&co-hf", "Random less trained", "& training ", "Holm"):
        assert words in text
    (line,) = [one for one in text.splitlines() if "pythia" in one and "raw" in one and "early" in one]
    trained = value("TBM", 1 / 6, "raw")
    assert f"${trained:.3f} [{trained - 0.05:.3f}, {trained + 0.05:.3f}]$" in line
    assert "$0.95 [0.90, 1.00]$" in line


def test_the_report_lists_the_trained_subjects_only(page: str) -> None:
    assert "Architecture or training?" in page
    facts = page[page.index('id="run"') : page.index('id="head"')]
    assert len(re.findall(r'data-subject="\d+"', page)) == 2
    assert "init=config:0" not in facts.split("Settings, versions")[0]
    assert 'aria-label="findings"' not in page, "the verdicts have a table of their own"
    flow = views(page, "inter_token_cosine")
    assert {t["uid"].split("-")[0] for t in flow[0]["figures"][0]["data"]} == {"s0", "s1"}
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
    assert max(len(line) for line in lines if str(run.directory) not in line and "next:" not in line) <= 80
    late = next(line for line in lines if line.split()[:1] == ["late"] and "training" in line)
    assert late.split() == [
        "late", "0.447", "-0.405", "-0.455", "to", "-0.355", "0.09", "0.04", "to", "0.14", "training"
    ]  # fmt: skip
    assert "and 28 more" in text
    assert "finding:" not in text
    assert " ".join(POWER.split()[:6]) in text
    assert "corrected for being several" in " ".join(text.split())
