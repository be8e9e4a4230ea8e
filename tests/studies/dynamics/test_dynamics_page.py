"""The report of a dynamics run: its figures and table hold the run's numbers, whatever is missing."""

from types import SimpleNamespace

import numpy as np
import pytest
from dynamics_run import BINS, MAMBA, PYTHIA, QUANTILES, SCENES, TWO, write_dynamics_run
from page_kit import bare, draw_all, needs_browser, opened, until, views
from synthetic import make_run

from repflow.core import NotEnoughData
from repflow.report import Plots, write_report
from repflow.report.reading import read
from repflow.report.show import summary
from repflow.studies.dynamics.page import influence_said


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch, request):
    """Plotly's own 5 MB are left out except where a browser runs them."""
    if "browser" not in request.node.name:
        monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_dynamics_run(tmp_path_factory.mktemp("dynamics") / "run")


@pytest.fixture
def text(run):
    return page(run)


def page(run) -> str:
    return write_report(run).read_text(encoding="utf-8")


def traces(figure: dict) -> dict[str, dict]:
    return {t["uid"]: t for t in figure["data"]}


def rows_of(frame, **wanted):
    return frame[np.all([frame[name] == value for name, value in wanted.items()], axis=0)]


def changed(run, directory, **tables):
    """The run with other tables."""
    names = ("layers", "pairs", "paths", "info", "findings")
    return SimpleNamespace(
        **{name: getattr(run, name) for name in names},
        table=lambda name: tables.get(name, run.table(name)),
        directory=directory,
    )


def test_influence_is_the_tables_numbers_on_two_logarithmic_axes(run, text):
    shown = views(text, "influence")
    assert [v["choice"] for v in shown] == [
        f"text, {context} tokens, {what}" for context in (64, 256) for what in ("norm", "share")
    ]
    for view, column in zip(shown[:2], ("value", "share"), strict=True):
        (figure,) = view["figures"]
        drawn = traces(figure)
        for place, subject in enumerate((PYTHIA, MAMBA)):
            rows = rows_of(run.table("influence"), subject=subject, context=64)
            np.testing.assert_allclose(drawn[f"s{place}-line"]["y"], rows[column], rtol=1e-3)
            np.testing.assert_allclose(
                drawn[f"s{place}-line"]["x"], [0.5, *(np.sqrt(a * b) for a, b in BINS[1:])], rtol=1e-6
            )
            assert (np.array(drawn[f"s{place}-low"]["y"]) < drawn[f"s{place}-high"]["y"]).all()
        assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"
        assert figure["layout"]["xaxis"]["ticktext"] == ["0", "1", "2–3", "4–7", "8–15", "16–31"]
    assert "pythia-tiny -0.400 [-0.500, -0.300]" in shown[0]["said"]


def test_the_table_sets_subjects_beside_each_other(text):
    table = bare(text).split('data-panel="dynamics-dynamics_table"')[1].split("</table>")[0]
    pythia, mamba = table.split("<tbody>")[1].split("<tr")[1:]
    assert pythia.count("<td>–</td>") == 3, "no half-life, no rho, no state"
    for cell in ("10.0 to 40.0", "block.0, block.3", "0.0025", "5.0 to 20", "-1.10", "[-1.20, -1.00]"):
        assert cell in mamba
    for row in (pythia, mamba):
        assert "0.100" in row
        assert "most 0.800" in row


def test_half_lives_that_never_end_stop_at_the_top_and_say_so(text):
    figure = views(text, "half_lives")[0]["figures"][0]
    drawn = traces(figure)
    medians = dict(QUANTILES)["q50"] * np.arange(1, 5)
    np.testing.assert_allclose(drawn["median"]["y"], medians)
    assert [told[-1] for told in drawn["median"]["customdata"]] == ["∞"] * 4
    ends = [y for y in drawn["wide"]["y"] if y is not None]
    assert ends[:2] == [2.0, 1000.0], "the least power of ten above twice the context and all that ends"
    (line,) = figure["layout"]["shapes"]
    assert line["y0"] == line["y1"] == 64


def test_memory_stands_beside_its_bound(run, text):
    for view, name in zip(views(text, "memory")[:2], ("memory_mean", "memory"), strict=True):
        drawn = traces(view["figures"][0])
        assert len(drawn) == 8
        rows = rows_of(run.table("bounds"), name=name, context=64, site="block.2")
        np.testing.assert_allclose(drawn["b2-bound"]["y"], rows["bound"], rtol=1e-3)
        np.testing.assert_allclose(drawn["b2-measured"]["y"], rows["measured"], rtol=1e-3)
        assert drawn["b2-bound"]["x"] == [1, 2, 4, 8]


def test_a_run_of_transformers_alone_has_no_figures_of_states(tmp_path):
    text = page(write_dynamics_run(tmp_path / "run", TWO[:1], SCENES[:1]))
    assert {p for p in ("influence", "dynamics_table") if f"dynamics-{p}" in text} == {"influence", "dynamics_table"}
    assert "dynamics-half_lives" not in text
    assert "dynamics-memory" not in text
    assert [v["choice"] for v in views(text, "influence")] == ["norm", "share"]


def test_a_run_without_influence_has_no_figure_of_it(run, tmp_path):
    none = {name: run.table(name).iloc[:0] for name in ("influence", "recency")}
    text = page(changed(run, tmp_path, **none))
    assert "dynamics-influence" not in text
    assert "dynamics-half_lives" in text
    with pytest.raises(NotEnoughData, match="measured no influence"):
        Plots(changed(run, tmp_path, **none)).influence()


def test_influence_of_nothing_is_left_out_of_a_logarithm(run, tmp_path):
    frame = run.table("influence")
    cut = frame.assign(value=frame["value"].where(frame["distance"] == 0, 0.0), ci_low=0.0)
    figure = views(page(changed(run, tmp_path, influence=cut)), "influence")[0]["figures"][0]
    assert traces(figure)["s0-line"]["x"] == [0.5]
    assert not {"s0-low", "s0-bars"} & traces(figure).keys()
    assert np.isfinite(figure["layout"]["yaxis"]["range"]).all()


def test_slopes_without_an_interval_or_a_value(run):
    subjects = read(run).subjects
    recency = run.table("recency").query("context == 64")
    assert influence_said(recency.assign(slope=np.nan), subjects) == ""
    assert "[" not in influence_said(recency.assign(ci_low=np.nan), subjects)


def test_the_figure_in_a_notebook(run):
    figure = Plots(run).influence(context=256, share=True)
    line = next(t for t in figure.data if t.uid == "s1-line")
    assert line.y[0] == pytest.approx(rows_of(run.table("influence"), subject=MAMBA)["share"].iloc[0], rel=1e-3)
    with pytest.raises(NotEnoughData, match="text at 64, text at 256"):
        Plots(run).influence(context=1)


def test_other_runs_have_no_section(tmp_path):
    assert 'id="dynamics"' not in page(make_run(tmp_path / "run"))


def test_methods_name_the_sources_and_tables_of_what_was_measured(text, tmp_path):
    flow = page(make_run(tmp_path / "run"))
    for words in ("Kornblith", "layers.parquet, pairs.parquet and paths.parquet"):
        assert words in bare(flow)
        assert words not in bare(text)
    assert "recency.parquet and bounds.parquet" in bare(text)


def test_show_tells_the_main_numbers(run, capsys):
    summary(run)
    said = capsys.readouterr().out
    for line in ("half-life, shortest", "1 - rho, least", "recency slope", "-1.100", "envelope used", "0.100"):
        assert line in said
    assert "text, 256 tokens" in said


@needs_browser
def test_a_browser_draws_every_figure(tmp_path):
    nasty = (TWO[0], ("<img src=x onerror=alert(1)>", *TWO[1][1:]))
    path = write_report(write_dynamics_run(tmp_path / "run", nasty))
    with opened(path) as tab:
        draw_all(tab)
        until(tab, "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")
        assert tab.locator(".plot").count() == 3
        tab.locator("[data-panel=dynamics-memory] button[data-own] >> nth=1").click()
