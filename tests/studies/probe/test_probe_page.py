"""The report of a probe run: its figures hold the tables' numbers, its table can be taken away."""

import base64
import dataclasses
import io
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from page_kit import bare, draw_all, needs_browser, opened, until, views
from probe_run import MAMBA, PYTHIA, SCENES, THREE, summary_of, write_probe_run
from synthetic import make_run

from repflow.core import NotEnoughData, UnknownName
from repflow.drawing.latex import latex
from repflow.report import Plots, write_report
from repflow.report.reading import read
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.probe.frames import told_position
from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow, TellingRow
from repflow.studies.probe.texts import depth_said, place_said, table_said, telling_said
from repflow.studies.probe.verdicts import ABOVE, LEVEL, UNKNOWN

POSITION = "The gold's position: "
SHORT = {PYTHIA: "pythia-tiny", f"{PYTHIA}@init=config:0": "random", MAMBA: "mamba"}


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch, request):
    """Plotly's own 5 MB are left out except where a browser runs them."""
    if "browser" not in request.node.name:
        monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_probe_run(tmp_path_factory.mktemp("probe") / "run")


@pytest.fixture(scope="module")
def text(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")
        return page(run)


def page(run) -> str:
    return write_report(run).read_text(encoding="utf-8")


def view(text: str, key: str, choice: str) -> dict:
    (found,) = [v for v in views(text, key) if v["choice"] == choice]
    return found


def traces(figure: dict) -> dict[str, dict]:
    return {t["uid"]: t for t in figure["data"]}


def rows_of(frame: pd.DataFrame, **wanted) -> pd.DataFrame:
    return frame[np.all([frame[name] == value for name, value in wanted.items()], axis=0)]


def test_curves_are_the_tables_numbers_with_bands_control_and_chance(run, text):
    shown = views(text, "probe_depth")
    assert [v["choice"] for v in shown] == [
        "last token", "end of the gold", "mean over tokens", *(f"{p}% into the prompt" for p in (25, 50, 75))
    ]  # fmt: skip
    for figure, (task, context) in zip(shown[1]["figures"], SCENES, strict=True):
        drawn = traces(figure)
        for place, subject in enumerate(THREE):
            wanted = {"subject": subject[0], "task": task, "context": context, "position": "gold"}
            rows = rows_of(run.probes, **wanted)
            blocks = rows.query("site != 'final_norm'")
            columns = {"line": "accuracy", "low": "ci_low", "high": "ci_high", "control": "control"}
            for ending, column in columns.items():
                np.testing.assert_allclose(drawn[f"s{place}-{ending}"]["y"], blocks[column], rtol=1e-4)
                np.testing.assert_allclose(drawn[f"s{place}-{ending}"]["x"], blocks["depth"], rtol=1e-4)
            final = rows.query("site == 'final_norm'")["accuracy"]
            np.testing.assert_allclose(drawn[f"s{place}-final"]["y"], final, rtol=1e-4)
            assert drawn[f"s{place}-final"]["x"][0] > 1
            (summary,) = rows_of(run.table("probe_summary"), **wanted).to_dict("records")
            if subject[5] is not None:
                assert summary["verdict"] == LEVEL
                assert not {f"s{place}-peak", f"s{place}-last"} & set(drawn), "no peak is marked in noise"
                continue
            peak = [drawn[f"s{place}-peak"][axis][0] for axis in "xy"]
            np.testing.assert_allclose(peak, [summary["peak_depth"], summary["peak"]], rtol=1e-4)
            last = [drawn[f"s{place}-last"][axis][0] for axis in "xy"]
            np.testing.assert_allclose(last, [1, summary["last"]], rtol=1e-4)
        (chance,) = figure["layout"]["shapes"]
        assert chance["y0"] == chance["y1"] == 0.2


def test_without_a_control_there_is_no_line_of_it(run, tmp_path):
    found = changed(run, tmp_path, probes=run.probes.assign(control=np.nan))
    ends = {t["uid"][3:] for v in views(page(found), "probe_depth") for f in v["figures"] for t in f["data"]}
    assert ends == {"low", "high", "line", "tie", "final", "peak", "last"}


def changed(run, directory, **tables):
    """A run like another but for the tables given, or with them None for want of them."""
    names = ("layers", "pairs", "paths", "info", "findings")

    def table(name):
        return tables[name] if name in tables else run.table(name)

    return SimpleNamespace(**{name: getattr(run, name) for name in names}, directory=directory, table=table)


def test_the_table_holds_every_subject_task_and_context(run, text):
    (table,) = re.findall(r'data-tokens="all" data-choice="last token">(.*?)</div>', text, re.S)
    bodies = re.findall(r"<tbody>(.*?)</tbody>", table, re.S)
    assert len(bodies) == len(SCENES)
    for body, (task, context) in zip(bodies, SCENES, strict=True):
        assert f"{task}, {context:,} tokens<small>chance 20.0%</small>" in body
        lines = [line for line in body.split("<tr") if "<td>" in line]
        for line, subject in zip(lines, THREE, strict=True):
            wanted = {"subject": subject[0], "task": task, "context": context, "position": "last"}
            (row,) = rows_of(run.table("probe_summary"), **wanted).to_dict("records")
            cells = re.findall(r"<td>(.*?)(?:<small>(.*?)</small>)?</td>", line)
            if subject[5] is not None:
                assert cells[0] == ("–", "no site is above chance")
                assert [value for value, _ in cells[1:]] == ["–", "23.0", "23.0", "–", "–", "23.0", "–"]
                continue
            assert cells[0] == (row["peak_site"], f"{row['peak_from']} to {row['peak_to']}")
            assert cells[7] == ("61.0", "[56.0, 66.0]"), "capacity"
            for (value, limits), name in zip(cells[1:4], ("peak", "last", "final_norm"), strict=True):
                assert value == f"{100 * row[name]:.1f}"
                assert limits == f"[{100 * row[f'{name}_low']:.1f}, {100 * row[f'{name}_high']:.1f}]"
            assert cells[4][0] == f"{100 * (row['peak'] - row['last']):.1f}"
            assert cells[5][0] == f"{100 * (1 - row['last'] / row['peak']):.1f}"


def test_the_table_can_be_taken_away(run, text):
    csv, tex = (
        base64.b64decode(re.findall(rf'download="probes.{end}" href="data:[^,"]*,([^"]*)"', text)[0]).decode()
        for end in ("csv", "tex")
    )
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(csv)), summary_of(run), check_dtype=False, rtol=1e-12)
    lines = [line for line in tex.splitlines() if line.endswith(r"\\")][1:]
    assert len(lines) == len(run.table("probe_summary"))
    assert lines[0] == r"kvpr & 300 & last token & pythia-tiny & block.3 & 93.5 & 67.1 & 26.4 \\"
    (random,) = [
        line for line in lines if line.startswith(r"kvpr & 300 & last token & pythia-tiny \textperiodcentered")
    ]
    assert random.endswith(r" & no site is above chance & -- & 23.0 & -- \\")
    assert {line.count(" & ") for line in lines} == {7}
    assert r"mamba\_130m\&co-hf" in tex
    assert r"25\% into the prompt" in tex
    assert r"\begin{tabular}{lllllrrr}" in tex


def test_latex_sets_any_name_literally():
    assert latex(r"a_b\c{d}~^$%#&") == r"a\_b\textbackslash{}c\{d\}\textasciitilde{}\textasciicircum{}\$\%\#\&"
    assert latex("<a|b>\n\tgroß 模\x07") == r"\textless{}a\textbar{}b\textgreater{}  groß U+6A21U+0007"


def test_readable_against_said_by_place_of_the_gold(run, text):
    shown = view(text, "telling", "kvpr, 2,000 tokens, last token")
    assert len(shown["figures"]) == 2, "the random baseline was not asked"
    for figure, (place, label) in zip(shown["figures"], ((0, PYTHIA), (2, MAMBA)), strict=True):
        wanted = {"subject": label, "task": "kvpr", "context": 2000, "position": "last"}
        told = rows_of(run.table("telling"), **wanted).dropna(subset=["gold_class"])
        drawn, rows = traces(figure), rows_of(told, at="peak")
        np.testing.assert_allclose(drawn[f"s{place}-last"]["y"], rows_of(told, at="last")["probe_above"], rtol=1e-4)
        for name, column in (("probe", "probe_above"), ("said", "answered")):
            for uid, ending in ((name, ""), (f"{name}-low", "_low"), (f"{name}-high", "_high")):
                np.testing.assert_allclose(drawn[f"s{place}-{uid}"]["y"], rows[column + ending], rtol=1e-4)
                assert drawn[f"s{place}-{uid}"]["x"] == [1, 2, 3, 4, 5]
        assert figure["layout"]["shapes"][0]["y0"] == 0, "both stand above their own chance level"
        assert figure["layout"]["annotations"] == []


def test_of_probes_at_chance_nothing_is_read(text):
    """A place of the prompt where no subject is above chance."""
    for panel, choice in (
        ("telling", "kvpr, 2,000 tokens, 25% into the prompt"),
        ("probe_depth", "25% into the prompt"),
    ):
        shown = view(text, panel, choice)
        assert shown["said"].startswith(f"{POSITION}No site is above chance")
        ends = {t["uid"][3:] for figure in shown["figures"] for t in figure["data"]}
        assert not ends & {"peak", "last", "probe", "probe-low", "probe-high"}
    for figure in view(text, "telling", "kvpr, 2,000 tokens, 25% into the prompt")["figures"]:
        assert [note["text"] for note in figure["layout"]["annotations"]] == ["no site is above chance"]
        assert {t["uid"][3:] for t in figure["data"]} == {"said", "said-low", "said-high"}
    table = re.findall(r'data-choice="25% into the prompt"[^>]*>(.*?)</div>', text, re.S)[0]
    assert table.count("no site is above chance") == len(SCENES) * len(THREE)
    assert "block." not in table


def test_the_map_has_a_column_a_place_and_a_row_a_site(run, text):
    shown = view(text, "probe_places", "mdqa, 2,000 tokens")
    heat = shown["figures"][2]["data"][0]
    assert heat["x"] == ["even.1of3", "even.2of3", "even.3of3", "last", " ", "gold", "mean"]
    assert heat["y"] == ["embed", "block.0", "block.1", "block.2", "block.3", " ", "final_norm"]
    wanted = {"subject": MAMBA, "task": "mdqa", "position": "gold"}
    column = [row[5] for row in heat["z"]]
    np.testing.assert_allclose(column[:5] + column[6:], rows_of(run.probes, **wanted)["accuracy"], rtol=1e-4)
    assert column[5] is None
    assert (heat["zmin"], heat["zmax"]) == (0, 1)


def test_one_place_alone_has_no_map_and_no_answers_no_figure(tmp_path):
    text = page(write_probe_run(tmp_path / "run", THREE[2:], SCENES[:1], ("last",), asked=False))
    assert "Where in depth the answer is readable" in text
    assert "Peak, final and drop" in text
    assert "Site against place in the prompt" not in text
    assert "Readable against said" not in text
    assert "Place &" not in base64.b64decode(re.findall(r'probes.tex" href="data:[^,"]*,([^"]*)"', text)[0]).decode()


def test_a_probe_run_says_nothing_of_paths_and_a_flow_run_nothing_of_probes(text, tmp_path):
    for words in ("No rows", "layers.parquet", "CKA", "Token policies"):
        assert words not in bare(text)
    assert "probe_summary.parquet" in bare(text)
    assert "answering (s)" in bare(text)
    flow = bare(page(make_run(tmp_path / "flow", pairs=False)))
    assert "layers.parquet" in flow
    without_answers = re.sub(r'<section id="answers".*?</section>', "", flow, flags=re.S).replace(tmp_path.name, "")
    assert "robe" not in without_answers, "only an answer may name the command to run next"


JUDGED = "chance 20.0% (40 sets of pairs, corrected for choosing among 7 sites)"


def test_depth_said():
    summary = sums()
    peak = "Highest of the peaks, pythia-tiny, kvpr, 300 tokens: best read at block.3: accuracy 90.0% [85.0, 95.0]"
    assert depth_said(summary, SHORT) == (
        f"{POSITION}{peak}, {JUDGED}. "
        "A drop from the peak to the last block is shown by 1 of 2 curves above chance, the largest "
        "30.0 points [25.0, 35.0] (pythia-tiny, kvpr, 300 tokens)."
    )
    assert depth_said(summary.assign(gap_low=-0.1), SHORT).endswith("is shown by 0 of 2 curves above chance.")


def test_depth_said_of_curves_at_chance():
    level = f"the highest 24.0% [17.0, 31.0], {JUDGED}, pythia-tiny, kvpr, 300 tokens."
    assert depth_said(at_chance(sums()), SHORT) == f"{POSITION}No site is above chance; {level}"
    some = pd.concat([at_chance(sums()[:1]), sums()[1:]])
    said = depth_said(some, SHORT)
    assert said.startswith(
        f"{POSITION}Highest of the peaks, mamba, kvpr, 300 tokens: best read at block.3: accuracy 50.0%"
    )
    assert "by 0 of 1 curves above chance." in said
    whose = level.replace(", pythia-tiny, kvpr, 300 tokens", "")
    assert said.endswith(f"No site is above chance with pythia-tiny (kvpr, 300 tokens); {whose}")


def test_depth_said_of_too_few_groups():
    few = sums()[:1].assign(verdict=UNKNOWN, n_units=4, highest_low=np.nan, highest_high=np.nan)
    assert depth_said(few, SHORT) == (
        f"{POSITION}"
        "pythia-tiny (kvpr, 300 tokens): no interval, so nothing is said of a peak: 4 sets of pairs held out, 8 are "
        "needed."
    )
    assert table_said(few, SHORT) == f"{POSITION}No interval: there is no peak."
    assert place_said(few, SHORT) == f"{POSITION}No interval at any place."
    nothing = pd.DataFrame(columns=pd.Index(["at", "gold_class", "difference_low"]))
    assert telling_said(nothing, few, SHORT) == f"{POSITION}No interval: nothing is readable and not said."


def test_table_said_leaves_random_baselines_and_noise_out():
    summary = sums()
    assert table_said(summary, SHORT) == (
        f"{POSITION}"
        "Peaks lie at relative depth 0.50 (pythia-tiny, kvpr, 300 tokens) to 1.0 (mamba, kvpr, 300 tokens); 1 of 2 "
        "before the last block."
    )
    assert (
        table_said(summary.assign(baseline_of=[None, "x"]), SHORT) == f"{POSITION}All peaks lie at relative depth 0.50."
    )
    assert table_said(summary.assign(baseline_of="x"), SHORT) == ""
    assert table_said(at_chance(summary), SHORT) == f"{POSITION}No site is above chance: there is no peak."
    assert table_said(pd.concat([summary[:1], at_chance(summary[1:])]), SHORT) == (
        f"{POSITION}All peaks lie at relative depth 0.50. 1 of 2 curves have none."
    )


def sums() -> pd.DataFrame:
    shared = {"task": "kvpr", "context": 300, "chance": 0.2, "majority": 0.2, "baseline_of": None, "position": "last"}
    shared |= {"target": "position"}
    shared |= {"verdict": ABOVE, "n_units": 40, "n_sites": 7, "highest_low": 0.85, "highest_high": 0.95}
    limits = {"peak_low": 0.85, "peak_high": 0.95}
    drop = {"gap": 0.3, "gap_low": 0.25, "gap_high": 0.35}
    none = {"gap": 0.02, "gap_low": -0.03, "gap_high": 0.05}
    a = {"subject": PYTHIA, "peak": 0.9, "highest": 0.9, "peak_site": "block.3", "peak_depth": 0.5}
    a |= shared | limits | drop
    b = {"subject": MAMBA, "peak": 0.5, "highest": 0.5, "peak_site": "block.3", "peak_depth": 1.0}
    return pd.DataFrame([a, a | none | b])


def at_chance(summary: pd.DataFrame) -> pd.DataFrame:
    """The same curves, none above chance."""
    nothing = dict.fromkeys(("peak", "peak_low", "peak_high", "peak_depth", "gap", "gap_low", "gap_high"), np.nan)
    return summary.assign(verdict=LEVEL, peak_site=None, highest=0.24, highest_low=0.17, highest_high=0.31, **nothing)


def test_telling_said_counts_subjects_and_the_places_of_the_one_most_ahead():
    row = {"subject": PYTHIA, "task": "kvpr", "at": "peak", "probe": 0.8, "probe_above": 0.75, "answered": 0.3}
    row |= {"difference": 0.45, "difference_low": 0.35, "difference_high": 0.55, "gold_class": None}
    level = {"difference": 0.02, "difference_low": -0.1, "difference_high": 0.1}
    last = row | {"at": "last", "probe_above": 0.0}
    frame = pd.DataFrame([row, row | {"gold_class": 0}, row | {"gold_class": 1} | level, last])
    corrected = "corrected for choosing the site, and for looking at each place of the gold"
    assert telling_said(frame, sums(), SHORT) == (
        f"{POSITION}"
        "More is readable than said with 1 of 1 subjects above chance. The largest difference: pythia-tiny, where "
        "beyond guessing (chance 20.0%) the place is read in 75.0% of prompts, 30.0% are answered rightly, 45.0 points "
        f"[35.0, 55.0] (40 sets of pairs); at 1 of 2 places of the gold by itself ({corrected})."
    )
    assert telling_said(frame.assign(**level), sums(), SHORT) == (
        f"{POSITION}With none of 1 subjects above chance is more readable than said ({corrected})."
    )
    nothing = f"{POSITION}No site is above chance: nothing is readable and not said."
    assert telling_said(frame[frame["at"] == "last"], at_chance(sums()), SHORT) == nothing


def test_place_said_sets_the_best_place_beside_the_last_token():
    summary = sums().assign(position=["gold", "last"])
    best = (
        f"{POSITION}"
        "Most is readable with pythia-tiny, end of the gold: best read at block.3: accuracy 90.0% [85.0, 95.0], "
        f"{JUDGED}; 2 of 2 curves are above chance, each judged by itself"
    )
    assert place_said(summary, SHORT) == f"{best}. At the last token with mamba at block.3: 50.0% [85.0, 95.0]."
    assert place_said(summary[:1], SHORT) == f"{best.replace('2 of 2', '1 of 1')}."
    some = pd.concat([summary[:1], at_chance(summary[1:])])
    assert place_said(some, SHORT).endswith(
        "1 of 2 curves are above chance, each judged by itself. No site is above chance at the last token."
    )
    assert place_said(at_chance(summary), SHORT) == f"{POSITION}No site is above chance at any place."


def test_a_run_of_an_earlier_version_is_judged_when_it_is_shown(run, tmp_path):
    """It has a peak for every curve, no verdicts, and plain differences to the answers."""
    new = ("verdict", "highest", "highest_low", "highest_high", "n_sites", "n_units", "capacity", "capacity_low")
    old = run.table("probe_summary").drop(columns=[*new, "capacity_high"])
    old = old.assign(peak=old["peak"].fillna(0.23), peak_low=old["peak_low"].fillna(0.18), peak_site="block.1")
    told = run.table("telling").drop(columns=["probe_above", "probe_above_low", "probe_above_high"])
    sites = run.probes.drop(columns=["capacity", "capacity_low", "capacity_high"])
    write_tables(
        tmp_path / "old", probes=(sites, ProbeRow), probe_summary=(old, ProbeSummaryRow), telling=(told, TellingRow)
    )
    found = read(Run.load(tmp_path / "old")).parts["probe"]
    assert found is not None
    assert found.summary["verdict"].tolist() == run.table("probe_summary")["verdict"].tolist()
    noise = found.summary[found.summary["verdict"] == LEVEL]
    assert len(noise)
    assert noise[["peak", "peak_site", "peak_depth", "gap"]].isna().all(axis=None)
    assert found.telling.empty, "differences that chance was not taken off"
    text = bare(page(Run.load(tmp_path / "old")))
    assert "no site is above chance" in text
    assert "nan" not in text.lower()


def write_tables(directory, **tables):
    """A run whose tables lack columns that were added later."""
    with RunWriter.create(directory, {"seed": 0}, "probe") as writer:
        for name, (frame, kind) in tables.items():
            fields = [(f.name, f.type) for f in dataclasses.fields(kind) if f.name in frame]
            shorter = dataclasses.make_dataclass(f"Old{kind.__name__}", fields, frozen=True)
            lines = frame.astype(object).where(frame.notna(), None).to_dict("records")
            rows = [
                shorter(**{n: math.nan if t is float and line[n] is None else line[n] for n, t in fields})
                for line in lines
            ]
            writer.write_table(name, rows, shorter)
        writer.finish([], [], [], {"subjects": [], "tasks": []})


def test_intervals_that_are_missing_are_not_drawn(run, tmp_path):
    nothing = dict.fromkeys(("peak_low", "peak_high", "gap_low", "gap_high"), np.nan)
    summary, sites = run.table("probe_summary").assign(**nothing), run.probes.assign(ci_low=np.nan, ci_high=np.nan)
    text = page(changed(run, tmp_path, probes=sites, probe_summary=summary))
    assert "nan" not in bare(text).lower()
    assert "is shown by 0 of 6 curves above chance" in view(text, "probe_depth", "last token")["said"]
    assert {t["uid"][3:] for t in views(text, "probe_depth")[0]["figures"][0]["data"]}.isdisjoint({"low", "high"})


def test_a_run_without_summaries_has_no_probes(run, tmp_path):
    assert read(changed(run, tmp_path, probe_summary=pd.DataFrame())).parts == {}
    assert "probe" in read(run).parts
    assert told_position("even.2of4") == "40% into the prompt"


def test_a_notebook_draws_the_curves(run, tmp_path):
    figure = Plots(run).probes(task="kvpr", context=2000, position="gold")
    (line,) = [t for t in figure.data if t.uid == "s0-line"]
    wanted = {"subject": PYTHIA, "task": "kvpr", "context": 2000, "position": "gold"}
    np.testing.assert_allclose(line.y, rows_of(run.probes, **wanted)["accuracy"][:-1], rtol=1e-4)
    assert [t.name for t in figure.data if t.showlegend is not False] == [
        "pythia-tiny",
        "pythia-tiny · config:0",
        "mamba_130m&amp;co-hf",
    ]
    with pytest.raises(UnknownName, match="position 'end'"):
        Plots(run).probes(position="end")
    with pytest.raises(NotEnoughData, match="this run holds kvpr at 300, kvpr at 2000, mdqa at 2000"):
        Plots(run).probes(context=7)
    with pytest.raises(NotEnoughData, match="no probes"):
        Plots(make_run(tmp_path, pairs=False)).probes()


@needs_browser
def test_a_browser_switches_the_place(tmp_path):
    nasty = (("<img src=x onerror=alert(1)>", *THREE[2][1:]),)
    path = write_report(write_probe_run(tmp_path / "run", nasty, SCENES[:1], ("last", "gold")))
    with opened(path) as tab:
        draw_all(tab)
        until(tab, "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")
        table = tab.locator("[data-panel$=-probe_table]")
        before = table.locator("td:not(.inset):visible").nth(1).inner_text()
        table.locator("button[data-own='end of the gold']").click()
        assert table.locator("td:not(.inset):visible").nth(1).inner_text() != before
        tab.click(".key >> nth=0")
        until(tab, "document.querySelector('[data-panel$=-probe_depth] .plot').data.every(t => t.visible === false)")
