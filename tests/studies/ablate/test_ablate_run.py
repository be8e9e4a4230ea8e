"""An ablation run: its numbers against the same found another way, and what it refuses, leaves out and restores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import repflow
from repflow.core import CallerError, Example, LayerRow, NonFinite, interval
from repflow.metrics import poisson_weights
from repflow.models import Loaded, load
from repflow.models.facts import weights_sha256
from repflow.models.generation import greedy
from repflow.report.show import summary
from repflow.store import Run
from repflow.studies.ablate import run as study
from repflow.studies.ablate import subject as ablate_subject
from repflow.studies.ablate.cells import Cell, example_cell, flow_cells
from repflow.studies.kit.record import Tables
from repflow.studies.kit.thirds import THIRDS
from repflow.studies.kit.units import units_of
from repflow.tasks import make_task

NEOX, MAMBA = "config:gpt_neox,layers=3,width=32@init=normal:1", "config:mamba2,layers=3,width=32@init=normal:1"
DEEP = MAMBA.replace("layers=3", "layers=9")
SETTINGS: dict[str, Any] = {"examples": 9, "context": 48, "replicates": 40, "metrics": ["inter_token_cosine", "norm"]}
KEYS = ["metric", "variant", "tokens"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    what = ["norm_reset", "residual_scaled:0.5,block.1-2+norm_removed:final"]
    return repflow.ablate([NEOX, MAMBA], what=what, out=tmp_path_factory.mktemp("ablate") / "run", **SETTINGS)


def ablations(run: Run, **wanted: Any) -> pd.DataFrame:
    frame = run.table("ablations")
    return frame[np.all([frame[name] == value for name, value in wanted.items()], axis=0)]


def test_every_change_of_every_subject_has_its_rows(run: Run) -> None:
    frame = run.table("ablations")
    both = f"{NEOX}@ablate=residual_scaled:0.5,block.1-2@ablate=norm_removed:final"
    assert frame["changed"].unique().tolist() == [
        f"{NEOX}@ablate=norm_reset",
        both,
        f"{MAMBA}@ablate=norm_reset",
        both.replace(NEOX, MAMBA),
    ]
    named = frame[["what", "blocks"]].drop_duplicates().itertuples(index=False, name=None)
    assert list(named) == [("norm_reset", "all"), ("residual_scaled:0.5+norm_removed", "block.1-2+final")]
    assert set(frame["scope"]) == {*THIRDS, "final_norm", "all"}
    assert set(frame.loc[frame["scope"] == "all", "metric"]) == {"next_token_loss"}
    assert not frame.isna().any().any()


def test_changed_subjects_are_those_of_a_flow_run(run: Run, tmp_path: Path) -> None:
    label = f"{MAMBA}@ablate=norm_reset"
    flow = repflow.flow([label], out=tmp_path / "flow", calibration=0, **SETTINGS)
    mine = run.layers[run.layers["subject"] == label].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, flow.layers)
    (facts,) = [facts for facts in run.subjects if facts["label"] == label]
    assert facts.pop("variant_of") == MAMBA
    assert facts == flow.subjects[0]
    assert facts["interventions"]
    assert [facts["variant_of"] for facts in run.subjects if not facts["interventions"]] == [None, None]


def test_thirds_and_paired_intervals_are_those_of_the_sites(run: Run) -> None:
    layers, drawn = run.layers, run.replicates["layers"].astype(float)
    depth = {"early": "block.0", "middle": "block.1", "late": "block.2", "final_norm": "final_norm"}
    rows = ablations(run, subject=NEOX).query("scope != 'all'")
    assert len(rows) == 2 * 4 * 2 * 4
    for _, row in rows.iterrows():
        here = (layers["site"] == depth[row["scope"]]) & np.all([layers[name] == row[name] for name in KEYS], axis=0)
        found = [np.flatnonzero(here & (layers["subject"] == row[name])) for name in ("subject", "changed")]
        (before,), (after,) = found
        assert row["base"] == layers["value"][before]
        assert row["value"] == layers["value"][after]
        assert row["difference"] == pytest.approx(row["value"] - row["base"], abs=1e-12)
        low, high = interval(drawn[after] - drawn[before], 9)
        assert row["difference_low"] == pytest.approx(low, abs=1e-5)
        assert row["difference_high"] == pytest.approx(high, abs=1e-5)


def test_a_third_is_the_mean_over_its_blocks(tmp_path: Path) -> None:
    subject = "config:gpt2,layers=6,width=16"
    run = repflow.ablate(subject, what="norm_reset", out=tmp_path / "run", **SETTINGS)
    sites = run.layers[(run.layers["subject"] == subject) & (run.layers["metric"] == "inter_token_cosine")]
    for third, names in zip(
        THIRDS, (["block.0", "block.1"], ["block.2", "block.3"], ["block.4", "block.5"]), strict=True
    ):
        for tokens in ("all", "no_sink"):
            expected = sites[sites["site"].isin(names) & (sites["tokens"] == tokens)]["value"].mean()
            rows = ablations(run, metric="inter_token_cosine", scope=third, tokens=tokens)
            assert rows["base"].tolist() == pytest.approx([expected])


def text_examples(subject: Loaded) -> list[Example]:
    return make_task("text", text=(), pack=True).build(subject.tokenizer, n=9, context=48, seed=0)


def text_losses(subject: Loaded) -> np.ndarray:
    found = []
    for example in text_examples(subject):
        ids = torch.tensor([example.ids])
        with torch.no_grad():
            found.append(subject.model(input_ids=ids, labels=ids, use_cache=False).loss.item())
    return np.array(found)


def test_loss_is_that_of_transformers_and_its_difference_is_paired(run: Run) -> None:
    before, after = text_losses(load(NEOX)), text_losses(load(f"{NEOX}@ablate=norm_reset"))
    weights = poisson_weights(0, [e.unit_id for e in text_examples(load(NEOX))], 40).numpy()[:, 1:]
    (row,) = ablations(run, subject=NEOX, what="norm_reset", metric="next_token_loss").to_dict("records")
    assert (row["base"], row["value"]) == pytest.approx((before.mean(), after.mean()), rel=1e-5)
    low, high = interval((after - before) @ weights / weights.sum(0), 9)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((float(low), float(high)), abs=1e-4)
    assert (row["scope"], row["variant"], row["n_examples"]) == ("all", "nats", 9)


def test_accuracy_is_the_share_of_right_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tiny random models that are right by a rule made up here: the answer holds the letter e."""
    monkeypatch.setitem(ablate_scores().CORRECT, "kvpr", lambda *said: "e" in said[0])
    asked = {"task": "kvpr", "items": 4, "keys": "hex4", "new_tokens": 3, **SETTINGS, "context": 300, "examples": 10}
    run = repflow.ablate(MAMBA, what=["ssm_no_gate"], out=tmp_path / "run", **asked)
    found = ablations(run, metric="answer_accuracy").to_dict("records")
    task = make_task("kvpr", data=None, positions=5, items=4, keys="hex4", smallest=300)
    shares = []
    for spec in (MAMBA, f"{MAMBA}@ablate=ssm_no_gate"):
        subject = load(spec)
        prompts = [example.ids for example in task.build(subject.tokenizer, n=10, context=300, seed=0)]
        said = greedy(subject, prompts, new_tokens=3, stop="no such text")
        shares.append(np.mean(["e" in text for text in said]))
    assert [(row["base"], row["value"]) for row in found] == [tuple(pytest.approx(share) for share in shares)]
    del asked["new_tokens"]
    silent = repflow.ablate(MAMBA, what=["ssm_no_gate"], out=tmp_path / "silent", generate=False, **asked)
    assert ablations(silent, scope="all").empty


def test_a_number_an_example_is_averaged_with_the_weights_of_the_flow() -> None:
    """Of two examples a replicate may draw neither: it has no value, and the others stay."""
    values = np.array([1.0, np.nan, 4.0])
    three = [Example(i, (1,)) for i in (7, 8, 9)]
    cell = example_cell(values, three, 3, 100, units_of(three))
    weights = poisson_weights(3, (7, 9), 100).numpy()
    assert cell is not None
    assert (cell.n, cell.units) == (2, 0), "two units give no interval"
    drawn = weights.sum(0) > 0
    np.testing.assert_allclose(cell.values[drawn], np.array([1.0, 4.0]) @ weights[:, drawn] / weights.sum(0)[drawn])
    assert 0 < np.isnan(cell.values).sum() == (~drawn).sum()
    assert example_cell(np.full(3, np.nan), three, 0, 20, units_of(three)) is None


def answered(right: list[float], units: list[int] | None = None) -> Cell:
    examples = [Example(i, (1,), unit=None if units is None else units[i]) for i in range(len(right))]
    cell = example_cell(np.array(right), examples, 0, 200, units_of(examples), share=True)
    assert cell is not None
    return cell


def test_answers_that_are_all_alike_have_an_interval() -> None:
    """Clopper and Pearson's, over units; a difference of nothing in every answer is not known to be nothing."""
    none, every = answered([0.0] * 30), answered([1.0] * 30)
    end = 1 - 0.025 ** (1 / 30)
    assert none.limits() == pytest.approx((0.0, 0.0, end))
    assert every.limits() == pytest.approx((1.0, 1 - end, 1.0))
    value, low, high = none.less(none)
    assert value == 0
    assert low <= -end < end <= high
    assert np.isnan(answered([1.0] * 7).limits()[1:]).all(), "too few units"


def test_a_share_of_tokens_that_is_0_in_every_unit_has_a_width() -> None:
    """The mean over a third's blocks, and its difference, as the rows of the blocks themselves."""
    rows = [
        LayerRow("m", "f", "trained", "text", 16, f"block.{i}", i + 1, (i + 1) / 6, "dropped_share", "raw", "no_sink",
                 0.0, 0.0, 0.11, 30, 480)
        for i in range(2)
    ]  # fmt: skip
    cells = flow_cells(Tables(layers=rows, layer_replicates=[np.zeros(200)] * 2))
    (cell,) = cells.values()
    end = 1 - 0.025 ** (1 / 30)
    assert cell.limits() == pytest.approx((0.0, 0.0, end))
    value, low, high = cell.less(cell)
    assert value == 0
    assert low <= -end < end <= high


def test_answers_of_one_unit_count_as_one() -> None:
    right = [float(i % 3 == 0) for _ in range(6) for i in range(10)]
    alone, together = answered(right), answered(right, [i % 10 for i in range(60)])
    assert (together.n, together.units) == (60, 10)
    assert alone.values[0] == together.values[0]
    widths = [high - low for _, low, high in (alone.limits(), together.limits())]
    assert widths[1] > 1.8 * widths[0]
    assert answered(sorted(right)).units == 0, "neighbours that are alike are not 60"


def ablate_scores() -> Any:
    from repflow.studies.ablate import scores as module

    return module


def test_a_change_that_breaks_the_model_is_left_out_with_a_warning(tmp_path: Path) -> None:
    what = ["residual_scaled:1e38,block.1", "norm_reset"]
    run = repflow.ablate(NEOX, what=what, out=tmp_path / "run", **SETTINGS)
    (line,) = [line for line in run.info["warnings"] if "non-finite" in line]
    assert line.startswith(f"{NEOX}@ablate=residual_scaled:1e38,block.1: non-finite states in")
    assert "first in example 0 at block.1; the change is too much" in line
    assert run.table("ablations")["what"].unique().tolist() == ["norm_reset"]
    assert set(run.layers["subject"]) == {NEOX, f"{NEOX}@ablate=norm_reset"} == {s["label"] for s in run.subjects}


def test_a_change_that_breaks_the_model_and_stands_alone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NonFinite, match=r"at block\.1; the change is too much for the model") as caught:
        repflow.ablate(NEOX, what="residual_scaled:1e38,block.1", out=tmp_path / "run", **SETTINGS)
    assert isinstance(caught.value, CallerError)


@pytest.mark.parametrize(("what", "words"), [("ssm_no_gate:final", "final"), ("norm_reset:block.17", "block")])
def test_what_no_subject_can_have_is_found_before_the_first_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, words: str
) -> None:
    monkeypatch.setattr(ablate_subject, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(CallerError, match=words):
        repflow.ablate([DEEP, NEOX], what=what, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("subjects", "asked", "having"),
    [
        ([NEOX, MAMBA], {"what": "ssm_no_conv"}, [MAMBA]),
        ([MAMBA, NEOX], {"windows": [4]}, [NEOX]),
        (
            [NEOX, MAMBA.replace("layers=3", "layers=9")],
            {"what": ["norm_reset:block.7"]},
            [MAMBA.replace("layers=3", "layers=9")],
        ),
        ([NEOX, MAMBA], {"what": "ssm_no_gate", "each_block": True}, [MAMBA]),
    ],
)
def test_a_change_is_made_where_it_can_be_and_a_line_says_where_not(
    tmp_path: Path, subjects: list[str], asked: dict[str, Any], having: list[str]
) -> None:
    run = repflow.ablate(subjects, out=tmp_path / "run", **asked, **SETTINGS)
    assert run.table("ablations")["subject"].unique().tolist() == having
    assert {s["label"] for s in run.subjects if s["variant_of"] is None} == set(subjects)
    lines = [line for line in run.info["warnings"] if "is left out" in line]
    assert len(lines) == 1
    assert f": {next(s for s in subjects if s not in having)}: " in lines[0]
    console = Console(width=1000, record=True, force_terminal=False)
    summary(run, console=console)
    assert lines[0] in console.export_text()


def hooks_of(subject: Any) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in subject.model.modules())


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_stopped_anywhere_models_are_restored_and_a_resumed_run_is_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    what = run.settings["what"]
    loaded: list[Any] = []
    hooks: list[int] = []
    work: Callable[..., Any] = ablate_subject.measure
    seen: list[str] = []

    def stop(key: str, *arguments: Any) -> Any:
        seen.append(key)
        done = work(key, *arguments)
        if len(seen) == calls:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(ablate_subject, "measure", stop)
    open_ = study.load_as

    def load_as(*arguments: Any) -> Any:
        loaded.append(open_(*arguments))
        hooks.append(hooks_of(loaded[-1]))
        return loaded[-1]

    monkeypatch.setattr(study, "load_as", load_as)
    with pytest.raises(repflow.RepflowError, match="interrupted; what is done stays"):
        repflow.ablate([NEOX, MAMBA], what=what, out=tmp_path / "run", **SETTINGS)
    for subject in loaded:
        assert weights_sha256(subject.model) == subject.facts.weights_sha256
    assert [hooks_of(subject) for subject in loaded] == hooks
    monkeypatch.setattr(ablate_subject, "measure", work)
    again = repflow.ablate([NEOX, MAMBA], what=what, out=tmp_path / "run", resume=True, **SETTINGS)
    for name in ("layers", "paths", "ablations"):
        assert (again.directory / f"{name}.parquet").read_bytes() == (run.directory / f"{name}.parquet").read_bytes()


def test_a_sweep_of_windows_nears_the_model_without_one(tmp_path: Path) -> None:
    run = repflow.ablate(NEOX, windows=[1, 8, 48], out=tmp_path / "run", **SETTINGS)
    rows = ablations(run, metric="next_token_loss")
    assert rows["what"].tolist() == [f"attention_window:{window}" for window in (1, 8, 48)]
    gaps = rows["difference"].abs().tolist()
    assert gaps[0] > 1e-4
    assert gaps[2] == pytest.approx(0, abs=1e-6)
