"""The report of models in training: the last step where there was one, and the section on all of them."""

import base64
import json
import re
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from page_kit import needs_browser, opened, panels, until
from synthetic import make_run, pair_rows
from training_run import FIVE, write_training_run

from repflow.core import NotEnoughData, UnknownName
from repflow.report import Plots, write_figures, write_report
from repflow.report.reading import read
from repflow.studies.kit.thirds import THIRDS, thirds
from repflow.studies.steps.axis import Scale, StepAxis, scale_of, thinned
from repflow.studies.steps.texts import curves_said, map_said, table_said

STEPS = (0, 1, 8, 64, 3000)
TWO = (
    ("zoo:pythia-tiny", "gpt_neox", "TBM", 6, "trained"),
    ("zoo:mamba-tiny", "mamba", "SSM", 3, "trained"),
)
SHORT = {"a": "a", "b": "b"}


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch, request):
    """Plotly's own 5 MB are left out except where a browser runs them."""
    if "browser" not in request.node.name:
        monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_training_run(tmp_path_factory.mktemp("two") / "run", TWO, STEPS)


@pytest.fixture(scope="module")
def text(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")
        return page(run)


def page(run) -> str:
    return write_report(run).read_text(encoding="utf-8")


def panel(text: str, ending: str) -> list[dict]:
    (found,) = [views for key, views in panels(text).items() if key.endswith(ending)]
    return found


def of(views, choice, tokens="all"):
    (view,) = [v for v in views if v["choice"] == choice and v["tokens"] == tokens]
    return view


def layer_values(run, subject, metric, step):
    rows = run.layers.query("variant == 'raw' and tokens == 'all'")
    wanted = (rows["subject"] == subject) & (rows["metric"] == metric) & (rows["step"] == step)
    return rows[wanted].sort_values("site_index")


@pytest.mark.parametrize("kind", ["object", "float64", "Int64"])
def test_steps_that_are_all_missing_change_nothing(tmp_path, kind):
    plain = make_run(tmp_path, TWO[1:], policies=("all",))
    for name in ("layers", "pairs", "paths"):
        setattr(plain, name, getattr(plain, name).drop(columns="step"))
    before = page(plain)
    for name in ("layers", "pairs", "paths"):
        frame = getattr(plain, name)
        missing = pd.Series([None] * len(frame), dtype="object").astype(kind)
        setattr(plain, name, frame.assign(step=missing.to_numpy() if kind != "Int64" else missing))
    assert page(plain) == before
    shown = re.sub(r"<script.*?</script>", "", before, flags=re.S)
    assert not re.search("(course|steps?) of training|in training|During training", shown)


def test_the_sections_there_were_show_the_last_step_and_say_so(run, text):
    assert "This section shows the last step of each subject: step 3,000." in text
    assert "at 5 steps of training, 0 to 3,000" in text
    figure = of(panel(text, "-inter_token_cosine"), "raw")["figures"][0]
    lines = [t for t in figure["data"] if t["uid"].endswith("-line")]
    assert len(lines) == 2
    for line, subject in zip(lines, TWO, strict=True):
        rows = layer_values(run, subject[0], "inter_token_cosine", 3000).query("site != 'final_norm'")
        np.testing.assert_allclose(line["y"], rows["value"], rtol=1e-4)
    heat = of(panel(text, "-cka"), "token")["figures"][0]["data"][0]
    last = run.pairs.query("step == 3000 and subject_a == @TWO[0][0] and variant == 'token' and tokens == 'all'")
    assert heat["z"][0][1] == pytest.approx(
        last.query("site_a == 'embed' and site_b == 'block.0'")["value"].item(), abs=1e-4
    )
    (csv,) = re.findall(r'download="paths.csv" href="data:text/csv;base64,([^"]*)"', text)
    assert {line.rsplit(",", 2)[1] for line in base64.b64decode(csv).decode().split()} == {"step", "3000"}


def test_each_subject_has_a_last_step_of_its_own(run, tmp_path):
    cut = changed(run, layers=run.layers[(run.layers["subject"] != TWO[1][0]) | (run.layers["step"] < 3000)])
    assert read(cut).last == {TWO[0][0]: 3000, TWO[1][0]: 3000}, "the paths go on"
    cut = changed(cut, pairs=None, paths=None, directory=tmp_path)
    source = read(cut)
    assert source.last == {TWO[0][0]: 3000, TWO[1][0]: 64}
    assert source.layers.groupby("subject")["step"].unique().map(list).to_dict() == {TWO[0][0]: [3000], TWO[1][0]: [64]}
    text = page(cut)
    assert "the last step of each subject: step 3,000 of pythia-tiny, 64 of mamba-tiny." in text
    assert "at 4 to 5 steps of training" in text


def changed(run, **other):
    """A run like another, without replicates, but for what is given."""
    names = ("layers", "pairs", "paths", "info", "findings", "directory")
    return SimpleNamespace(**{name: getattr(run, name) for name in names} | other)


def test_curves_of_thirds_are_the_stores_numbers(run, text):
    views = panel(text, "-thirds")
    assert {(v["choice"], v["tokens"]) for v in views} == {
        (c, t) for c in ("raw", "standardised") for t in ("all", "no_sink")
    }
    frame = thirds(run.layers, run.replicates).frame.query("variant == 'raw' and tokens == 'all'")
    figures = of(views, "raw")["figures"]
    assert len({json.dumps([f["layout"][a]["range"] for a in ("xaxis", "yaxis")]) for f in figures}) == 1
    for figure, third in zip(figures, THIRDS, strict=True):
        for place, subject in enumerate(TWO):
            rows = frame[(frame["third"] == third) & (frame["subject"] == subject[0])]
            drawn = {t["uid"]: t for t in figure["data"]}
            for ending, column in (("line", "value"), ("low", "ci_low"), ("high", "ci_high")):
                np.testing.assert_allclose(drawn[f"s{place}-{ending}"]["y"], rows[column], rtol=1e-4)
            x = drawn[f"s{place}-line"]["x"]
            np.testing.assert_allclose(x[1:], np.log10([1, 8, 64, 3000]), rtol=1e-4)
            assert x[0] < -0.2
            assert [d[0] for d in drawn[f"s{place}-line"]["customdata"]] == ["0", "1", "8", "64", "3,000"]


def test_without_replicates_there_are_no_bands_and_that_is_said(run, text, tmp_path):
    assert "no bands are drawn" not in text
    text = page(changed(run, pairs=None, directory=tmp_path))
    assert "no bands are drawn" in text
    view = of(panel(text, "-thirds"), "raw")
    assert {t["uid"][2:] for figure in view["figures"] for t in figure["data"]} == {"-line"}
    assert "without intervals it is not known which changes are clear" in view["said"]
    assert "no clear change" not in re.sub(r"<script.*?</script>", "", text, flags=re.S).replace(
        "“no clear change”", ""
    )


def test_maps_have_a_column_a_step_and_one_scale_for_all(run, text):
    views = panel(text, "-maps")
    assert list(dict.fromkeys(v["choice"] for v in views)) == [
        "inter-token cosine, raw", "inter-token cosine, standardised", "adjacent cosine",
        "CKA with the site before, token", "CKA with the site before, example", "update ratio",
    ]  # fmt: skip
    for view in views:
        ends = {(f["data"][0]["zmin"], f["data"][0]["zmax"]) for f in view["figures"]}
        assert len(ends) == 1
    view = of(views, "inter-token cosine, raw")
    heat = view["figures"][0]["data"][0]
    assert heat["x"] == ["0", " ", "1", "8", "64", "3000"]
    assert heat["y"] == ["embed", *(f"block.{i}" for i in range(6)), " ", "final_norm"]
    wanted = [layer_values(run, TWO[0][0], "inter_token_cosine", step)["value"].to_numpy() for step in STEPS]
    z = np.array(heat["z"], dtype=float)
    np.testing.assert_allclose(np.delete(np.delete(z, 1, 1), -2, 0), np.array(wanted).T, rtol=1e-4)
    assert np.isnan(z[:, 1]).all()
    assert view["ramp"] == ["0", "0.70"]


def test_the_map_of_cka_is_of_neighbours_and_that_of_updates_logarithmic(run, text):
    views = panel(text, "-maps")
    heat = of(views, "CKA with the site before, token")["figures"][1]["data"][0]
    assert heat["y"] == ["block.0", "block.1", "block.2", " ", "final_norm"]
    pairs = run.pairs.query("subject_a == @TWO[1][0] and variant == 'token' and tokens == 'all' and step == 8")
    near = [("embed", "block.0"), ("block.0", "block.1"), ("block.1", "block.2"), ("block.2", "final_norm")]
    wanted = [pairs.query("site_a == @a and site_b == @b")["value"].item() for a, b in near]
    column = np.array(heat["z"], dtype=float)[:, heat["x"].index("8")]
    np.testing.assert_allclose(np.delete(column, -2), wanted, rtol=1e-4)
    heat = of(views, "update ratio")["figures"][0]["data"][0]
    wanted = np.log10(layer_values(run, TWO[0][0], "update_ratio", 64)["value"].to_numpy())
    np.testing.assert_allclose(np.delete(np.array(heat["z"], dtype=float)[:, 4], -2), wanted, rtol=1e-4)
    assert of(views, "update ratio")["ramp"][1].endswith("(logarithmic)")


def test_the_page_says_what_the_view_shown_first_says(text):
    for ending in ("-thirds", "-maps", "-thirds_table"):
        first = panel(text, ending)[0]["said"]
        assert first
        assert first in text.replace("&#39;", "'")
    assert text.index('id="training"') < text.index('id="likeness"')


def test_the_table_has_a_line_a_third(tmp_path):
    run = write_training_run(tmp_path / "run", (TWO[1], FIVE[4]), STEPS, policies=("all",))
    table = re.search(r'<th scope="col">third</th>.*?</table>', page(run), re.S)
    assert table
    lines = re.findall(r"<tr>.*?</tr>", table.group(), re.S)
    cells = [[re.sub(r"<.*?>", " ", cell).split() for cell in re.findall(r"<t[dh].*?</t[dh]>", x)] for x in lines]
    assert [row[-6][0] for row in cells] == [*THIRDS, *THIRDS]
    frame = thirds(run.layers, run.replicates).frame.query("variant == 'raw' and third == 'late'")
    first = frame.iloc[0]
    assert float(cells[2][1][0]) == pytest.approx(first["value"], abs=1e-3)
    assert cells[2][-2][0].isdigit()
    assert cells[2][-2][1:3] == ["not", "yet"]
    assert " ".join(cells[3][-2]) == "no clear change"
    assert "steps 0 to 3,000" in table.group()


def change(subject, third, first, last, clear=True, halfway=8, spread=0.01, **more):
    sides = {"first": first, "last": last, "change": last - first}
    bounds = {f"{n}_{e}": v + s for n, v in sides.items() for e, s in (("low", -spread), ("high", spread))}
    steps = {"first_step": 0, "last_step": 64, "halfway_step": halfway if clear else None, "before_step": 1}
    return {"subject": subject, "third": third, **sides, **bounds, **steps, "clear": clear, **more}


def frame_of(*rows):
    return pd.DataFrame(rows).astype({"halfway_step": "Int64", "clear": "boolean"})


def test_what_is_said_of_the_curves_follows_the_numbers():
    rises = [change("a", "early", 0.1, 0.5), change("b", "late", 0.1, 0.6, halfway=64)]
    assert curves_said(frame_of(*rises), SHORT) == (
        "The largest rise is in the late third of b: 0.100 at initialisation, 0.600 at step 64 (change 0.500 "
        "[0.490, 0.510]), more than half of it by step 64. 2 of 2 thirds change clearly."
    )
    mixed = [change("a", "early", 0.5, 0.1), change("a", "late", 0.2, 0.21, clear=False)]
    text = curves_said(frame_of(*mixed), SHORT)
    assert text.startswith("The largest fall is in the early third of a: 0.500 at initialisation")
    assert text.endswith("1 of 2 thirds change clearly; no clear change in a (late).")
    none = [change("b", third, 0.2, 0.21, clear=False) for third in THIRDS]
    assert curves_said(frame_of(*none), SHORT) == ("0 of 3 thirds change clearly; no clear change in b (all thirds).")


def test_what_is_said_of_the_table_follows_the_numbers():
    rows = [
        change("a", "early", 0.1, 0.5, halfway=1),
        change("a", "middle", 0.1, 0.3),
        change("a", "late", 0.1, 0.2),
        *(change("b", third, 0.1, value) for third, value in zip(THIRDS, (0.3, 0.31, 0.305), strict=True)),
    ]
    assert table_said(frame_of(*rows), SHORT) == (
        "At the end tokens are most alike in the early third of a (0.500); no third stands out in b. More than half of "
        "a clear change is done first by step 1 in a (early), last by step 8 in a (middle, late) and b (all thirds)."
    )
    same = table_said(frame_of(*rows[3:]), SHORT)
    assert same.endswith("is done first by step 8 in b (all thirds).")


def test_what_is_said_of_a_map_follows_the_numbers():
    cells = [
        ("a", "block.0", 0, 0.1), ("a", "block.0", 4, 0.2), ("b", "block.1", 0, 0.5), ("b", "block.1", 4, 0.3),
        ("b", "final_norm", 0, 0.0), ("b", "final_norm", 4, 1.0),
    ]  # fmt: skip
    rows = pd.DataFrame(cells, columns=["subject", "site", "step", "value"])
    rows["final"] = rows["site"] == "final_norm"
    assert map_said(rows, SHORT) == (
        "The largest move is b's at block.1: 0.500 at initialisation, 0.300 at step 4. Over all subjects and sites but "
        "the final norm the values run from 0.100 to 0.500 at the first step and from 0.200 to 0.300 at the last."
    )
    assert map_said(rows[rows["step"] == 0], SHORT) == ""
    assert map_said(rows.iloc[:0], SHORT) == ""


def test_one_step_alone_is_drawn(tmp_path):
    run = write_training_run(tmp_path / "run", TWO[1:], (7,), policies=("all",))
    text = page(run)
    assert "at the first step" in text
    assert of(panel(text, "-thirds"), "raw").get("said", "") == ""
    assert of(panel(text, "-maps"), "update ratio")["figures"][0]["data"][0]["x"] == ["7"]


def test_a_quantity_that_was_not_measured_is_left_out(run, tmp_path):
    kept = run.layers[~run.layers["metric"].isin(["inter_token_cosine", "adjacent_cosine"])]
    found = panels(page(changed(run, layers=kept, pairs=None, directory=tmp_path)))
    (views,) = [views for key, views in found.items() if key.endswith("-maps")]
    assert {v["choice"] for v in views} == {"update ratio"}
    assert not [key for key in found if "thirds" in key]


def test_the_axis_of_steps():
    axis = StepAxis.over([0, 1, 1, 16, 3000])
    assert axis.ticks == [0, 1, 10, 100, 1000]
    assert axis.range[0] < axis.place(0) < axis.place(1) == 0 < axis.place(3000) < axis.range[1]
    assert StepAxis.over([100, 200, 400]).ticks == [100, 200, 400]
    assert StepAxis.over([0]).ticks == [0]
    assert thinned(list(range(10)), 4) == [0, 3, 6, 9]
    assert thinned([5], 4) == [5]


def test_scales_hold_every_value():
    rows = pd.DataFrame({"value": [-0.02, 0.31, np.nan]})
    assert scale_of(rows, "inter_token_cosine") == Scale(-0.1, 0.4, False)
    assert scale_of(pd.DataFrame({"value": [0.72, 0.98]}), "adjacent_cosine") == Scale(0.7, 1.0, False)
    assert scale_of(pd.DataFrame({"value": [0.3, 0.4]}), "inter_token_cosine") == Scale(0.0, 0.4, False)
    ratio = scale_of(pd.DataFrame({"value": [0.0, 0.05, 20.0]}), "update_ratio")
    assert (ratio.low, ratio.high) == (0.05, 20.0)
    assert np.isnan(ratio.place(np.array([0.0, 1.0]))).tolist() == [True, False]


def test_notebook_figures(run):
    figure = Plots(run).training(tokens="all")
    lines = [t for t in figure.data if t.uid.endswith("-line")]
    assert [t.xaxis for t in lines] == ["x", "x", "x2", "x2", "x3", "x3"]
    assert [t.showlegend for t in lines] == [None, None, False, False, False, False]
    frame = thirds(run.layers, run.replicates).frame.query("variant == 'raw' and tokens == 'all' and third == 'late'")
    np.testing.assert_allclose(lines[-1].y, frame[frame["subject"] == TWO[1][0]]["value"], rtol=1e-4)
    heat = Plots(run).training_map("mamba-tiny", metric="cka", variant="example").data[0]
    assert heat.y[0] == "block.0"
    assert heat.showscale
    with pytest.raises(UnknownName, match="update_ratio"):
        Plots(run).training_map(metric="norm")


def test_notebook_figures_of_an_ordinary_run(tmp_path):
    plain = make_run(tmp_path, TWO)
    for draw in (Plots(plain).training, Plots(plain).training_map):
        with pytest.raises(NotEnoughData, match="as they stand"):
            draw()


def test_figures_for_papers(run, tmp_path):
    run = changed(run, pairs=None, paths=None, replicates=run.replicates)
    written = write_figures(run, ("svg",), tmp_path / "a")
    names = {path.name for path in written}
    assert {f"thirds_{third}-third_text-512.svg" for third in ("early", "middle", "late")} <= names
    assert "maps_pythia-tiny_text-512.svg" in names
    again = {path.name: path.read_bytes() for path in write_figures(run, ("svg",), tmp_path / "b")}
    assert all(path.read_bytes() == again[path.name] for path in written)
    words = (tmp_path / "a" / "maps_pythia-tiny_text-512.svg").read_text()
    assert "pythia-tiny" in words


def test_figures_for_papers_of_an_ordinary_run(tmp_path):
    names = [path.name for path in write_figures(make_run(tmp_path, TWO[1:]), ("svg",))]
    assert not [name for name in names if name.startswith(("thirds", "maps"))]


def pairs_only(directory, subjects):
    return changed(make_run(directory, subjects, policies=("all",)), layers=None, paths=None)


def test_many_pairs_of_models_are_shown_a_subject_at_a_time(tmp_path):
    small = tuple((*subject[:3], 2, subject[4]) for subject in FIVE)
    text = page(pairs_only(tmp_path, small))
    shown = re.findall(r'<figure data-s="[\d ]*" data-of="(\d) (\d)"( hidden)?>', text)
    assert len(shown) == 20
    assert all(bool(hidden) == ("0" not in (a, b)) for a, b, hidden in shown)
    assert re.findall(r'data-filter="(\w+)"', text) == ["0", "1", "2", "3", "4", "all"]
    assert "data-of" not in re.sub(r"<script.*?</script>", "", page(pairs_only(tmp_path, small[:3])), flags=re.S)


@needs_browser
def test_a_browser_switches_the_maps_and_the_pairs(run, tmp_path):
    small = tuple((*subject[:3], 2, subject[4]) for subject in FIVE[:4])
    rows = pd.DataFrame([asdict(row) for row in pair_rows(small, (("text", 512),), ("all",))]).assign(step=3000)
    cross = rows[rows["subject_a"] != rows["subject_b"]]
    both = changed(run, pairs=pd.concat([run.pairs, cross]), paths=None, directory=tmp_path)
    with opened(write_report(both)) as tab:
        tab.locator("#training > summary").click()
        maps = tab.locator("[data-panel$=-maps]")
        maps.scroll_into_view_if_needed()
        until(tab, "document.querySelector('[data-panel$=-maps] .plot').data")
        said = maps.locator(".said").inner_text()
        maps.locator("button[data-own='update ratio']").click()
        until(tab, "document.querySelector('[data-panel$=-maps] .plot').data?.[0].zmax < 1")
        assert maps.locator(".ramp-high").inner_text().endswith("(logarithmic)")
        assert maps.locator(".said").inner_text() != said
        tab.locator("#layers > summary").click()
        pairs = tab.locator("[data-panel$=-cross_cka]")
        pairs.scroll_into_view_if_needed()
        assert pairs.locator("figure:visible").count() == 6
        pairs.locator("button[data-filter='3']").click()
        until(
            tab,
            "[...document.querySelectorAll('[data-panel$=-cross_cka] figure:not([hidden]) .plot')]"
            ".every(plot => plot.querySelector('.main-svg'))",
        )
        captions = pairs.locator("figure:visible figcaption").all_inner_texts()
        assert len(captions) == 6
        assert all("mamba2-tiny" in caption for caption in captions)
