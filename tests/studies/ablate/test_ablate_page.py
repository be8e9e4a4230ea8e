"""The report of an ablation run: grid and sweeps hold the table's numbers, flow panels the models as they are."""

import base64
import io
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_kit import draw_all, needs_browser, opened, until, views
from synthetic import facts

from repflow.core import LayerRow, sites_for
from repflow.report import Plots, write_report
from repflow.report.reading import read
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.ablate.frames import Column, grids
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.ablate.table import grid, grid_said
from repflow.studies.kit.thirds import THIRDS

NEOX, MAMBA = "zoo:pythia-tiny", "zoo:<mamba>&tiny"
WINDOWS = tuple((f"attention_window:{window}", "all") for window in (4, 16, 64))
BLOCKS = tuple(("norm_reset", f"block.{block}") for block in range(3))
CHANGES = {NEOX: (("norm_removed", "final"), *WINDOWS, *BLOCKS), MAMBA: (("ssm_no_conv+ssm_no_gate", "all"), *BLOCKS)}
NUMBERS = (
    ("inter_token_cosine", "raw", (*THIRDS, "final_norm"), "flow"),
    ("norm", "median", THIRDS, "flow"),
    ("norm", "max", THIRDS, "flow"),
    ("next_token_loss", "nats", ("all",), "all"),
)


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch, request):
    """Plotly's own 5 MB are left out except where a browser runs them."""
    if "browser" not in request.node.name:
        monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")


def label(subject: str, what: str, blocks: str) -> str:
    return f"{subject}@ablate={what}{'' if blocks == 'all' else f':{blocks}'}"


def ablation_rows() -> list[AblationRow]:
    rows = []
    for subject, changes in CHANGES.items():
        for place, (what, blocks) in enumerate(changes):
            for metric, variant, scopes, policy in NUMBERS:
                for number, scope in enumerate(scopes):
                    for tokens in ("all", "no_sink") if policy == "flow" else ("all",):
                        base, move = 0.5 + 0.1 * number, (place - 1) * (0.1 + 0.02 * number)
                        spread = 0.001 if tokens == "all" else 0.15
                        rows.append(
                            AblationRow(
                                subject, label(subject, what, blocks), "f", what, blocks, "text", 512, metric, variant,
                                tokens, scope, base, base - 0.1, base + 0.1, base + move, base + move - 0.1,
                                base + move + 0.1, move, move - spread, move + spread, 40,
                            )
                        )  # fmt: skip
    return rows


def layer_rows(subject: str) -> list[LayerRow]:
    return [
        LayerRow(subject, "f", "trained", "text", 512, s.name, s.index, s.depth, "inter_token_cosine", "raw", tokens,
                 0.4, 0.3, 0.5, 40, 900)
        for s in sites_for(3)
        for tokens in ("all", "no_sink")
    ]  # fmt: skip


def write_ablation_run(directory: Path) -> Run:
    rows = ablation_rows()
    subjects = [
        asdict(facts(s, "f", k, 3, "trained")) | {"variant_of": None} for s, k in ((NEOX, "TBM"), (MAMBA, "SSM"))
    ]
    changed = dict.fromkeys((row.changed, row.subject) for row in rows)
    subjects += [asdict(facts(name, "f", "TBM", 3, "trained")) | {"variant_of": subject} for name, subject in changed]
    tasks = [{"name": "text", "context": 512, "n_examples": 40, "n_tokens": 20480, "examples_sha256": "c" * 64}]
    with RunWriter.create(directory, {"seed": 0}, "ablate") as writer:
        writer.write_table("ablations", rows, AblationRow)
        layers = [row for subject in subjects for row in layer_rows(subject["label"])]
        writer.finish(layers, [], [], {"subjects": subjects, "tasks": tasks, "seed": 0})
    return Run.load(directory)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_ablation_run(tmp_path_factory.mktemp("ablation") / "run")


@pytest.fixture(scope="module")
def text(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")
        return write_report(run).read_text(encoding="utf-8")


def rows_of(run: Run, **wanted) -> pd.DataFrame:
    frame = run.table("ablations")
    return frame[np.all([frame[name] == value for name, value in wanted.items()], axis=0)]


def lines(text: str, tokens: str, choice: str) -> list[list[str]]:
    (table,) = re.findall(rf'data-tokens="{tokens}" data-choice="{choice}"[^>]*>(.*?)</div>', text, re.S)
    return [
        re.findall(r"<t[hd].*?</t[hd]>", line, re.S)
        for line in re.findall(r"<tr>(<th scope=.row.*?)</tr>", table, re.S)
    ]


def test_the_grid_holds_every_change_with_its_difference_and_interval(run, text):
    found = lines(text, "all", "main numbers")
    changes = [(subject, *change) for subject, own in CHANGES.items() for change in own]
    columns = [
        ("next_token_loss", "all"),
        *(("inter_token_cosine", s) for s in (*THIRDS, "final_norm")),
        ("norm", "late"),
    ]
    for cells, (subject, what, blocks) in zip(found, changes, strict=True):
        assert f">{what}<" in cells[0]
        assert ("<small>" in cells[0]) == (blocks != "all")
        for cell, (metric, scope) in zip(cells[1:], columns, strict=True):
            wanted = {
                "subject": subject,
                "what": what,
                "blocks": blocks,
                "metric": metric,
                "scope": scope,
                "tokens": "all",
            }
            row = rows_of(run, **wanted).iloc[0]
            scale, digits = (100 / row["base"], 1) if metric == "norm" else (1, 3)
            shown = (
                re.sub(r"<[^>]*>", " ", cell)
                .replace("−", "-")
                .replace("[", "")
                .replace("]", "")
                .replace(",", "")
                .split()
            )
            values = [scale * row[name] for name in ("difference", "difference_low", "difference_high")]
            np.testing.assert_allclose([float(x) for x in shown], values, atol=0.6 * 10.0 ** (1 - digits))
            assert (float(shown[0]) > 0) == ("rgba(196" in cell)
            assert ("faint" in cell) == (values[1] <= 0 <= values[2])
            assert f"{row['base']:.3f} before" in cell


def test_a_difference_that_may_be_none_is_grey(text):
    """With the wide intervals of the policy no_sink more of them are."""
    grey = {tokens: sum("faint" in cell for line in lines(text, tokens, "main numbers") for cell in line[2:6])
            for tokens in ("all", "no_sink")}  # fmt: skip
    assert 0 < grey["all"] < grey["no_sink"]


def test_every_metric_and_variant_can_be_chosen(run):
    rows = rows_of(run, tokens="all")
    assert list(grids(rows)) == ["main numbers", "inter-token cosine", "norm, median", "norm, max"]
    chosen = grids(rows)["norm, max"]
    assert chosen == [Column("next_token_loss", "nats", "all"), *(Column("norm", "max", third) for third in THIRDS)]
    without = rows[rows["metric"] == "next_token_loss"]
    assert list(grids(without)) == ["main numbers"]


def test_a_change_without_a_number_has_a_dash(run):
    rows = rows_of(run, subject=NEOX, tokens="all")
    rows = rows[~((rows["what"] == "norm_removed") & (rows["metric"] == "next_token_loss"))]
    (subject,) = [s for s in read(run).subjects if s.label == NEOX]
    (group,) = grid(rows, [Column("next_token_loss", "nats", "all")], [subject]).groups
    base, *changes = group.lines
    assert [line.cells[0].text for line in changes][:3] == ["–", "+0.000", "+0.100"]
    assert [(cell.text, cell.small) for cell in base.cells] == [("0.500", "[0.400, 0.600]")]
    assert base.strong


def test_said_names_the_largest_clear_change(run):
    rows = rows_of(run, subject=NEOX, tokens="all")
    said = grid_said(rows, [Column("next_token_loss", "nats", "all"), Column("norm", "max", "late")], {NEOX: "pythia"})
    assert said == (
        "Loss (nats): clearly moved by 6 of 7 changes, most by norm_reset · block.2 in pythia (+0.500 [0.499, 0.501]). "
        "Norm, late: clearly moved by 6 of 7 changes, most by norm_reset · block.2 in pythia (+100% [100, 100]). "
        "Clearly: by the interval of each number alone; nothing is corrected for there being many, so that about "
        "1 in 20 changes without any effect is counted."
    )
    none = rows.assign(difference_low=-1.0, difference_high=1.0)
    assert grid_said(none, [Column("next_token_loss", "nats", "all")], {NEOX: "pythia"}).startswith(
        "Loss (nats): clearly moved by 0 of 7 changes. Clearly: by the interval of each number alone;"
    )


@pytest.mark.parametrize(("key", "uid", "subject", "changes"), [
    ("ablation_windows", "s0", NEOX, WINDOWS), ("ablation_blocks", "c0", MAMBA, BLOCKS),
])  # fmt: skip
def test_sweeps_are_drawn_with_their_numbers(run, text, key, uid, subject, changes):
    view = views(text, key)[0]
    drawn = {t["uid"]: t for t in view["figures"][1 if key == "ablation_blocks" else 0]["data"]}
    wanted = {"subject": subject, "metric": "next_token_loss"}
    rows = rows_of(run, **wanted).set_index(["what", "blocks"]).loc[list(changes)]
    for ending, column in (("line", "difference"), ("low", "difference_low"), ("high", "difference_high")):
        np.testing.assert_allclose(drawn[f"{uid}-{ending}"]["y"], rows[column], rtol=1e-4)
    assert drawn[f"{uid}-line"]["x"] == ([4, 16, 64] if key == "ablation_windows" else [0, 1, 2])
    assert len(drawn) == 3


def test_the_flow_panels_show_the_models_as_they_are_and_a_notebook_all(run, text):
    assert [s.label for s in read(run).subjects] == [NEOX, MAMBA]
    assert set(read(run).layers["subject"]) == {NEOX, MAMBA}
    assert text.count('class="chip key"') == 2
    names = [t.name for t in Plots(run).inter_token_cosine().data if t.name and t.showlegend is not False]
    assert len(names) == 2 + sum(map(len, CHANGES.values()))
    assert names[2].startswith("pythia-tiny · norm")


def test_the_table_can_be_taken_away(run, text):
    (data,) = re.findall(r'download="ablations.csv" href="data:[^,"]*,([^"]*)"', text)
    frame = pd.read_csv(io.BytesIO(base64.b64decode(data)))
    pd.testing.assert_frame_equal(frame, run.table("ablations"), check_dtype=False, rtol=1e-12)


@needs_browser
def test_a_browser_draws_the_sweeps_and_switches_the_grid(tmp_path):
    path = write_report(write_ablation_run(tmp_path / "run"))
    with opened(path) as tab:
        draw_all(tab)
        until(tab, "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")
        panel = tab.locator("[data-panel$=-ablation_grid]")
        before = panel.locator("table:visible").inner_text()
        panel.locator("button[data-own='norm, max']").click()
        assert panel.locator("table:visible").inner_text() != before
