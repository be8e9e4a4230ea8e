"""A watched model as a run: what the rows and the run say, the page and the figures."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from watch_kit import gpt2, ids_of, mamba

import repflow
from repflow.core import BadSetting, NotEnoughData, StoreConflict
from repflow.models.facts import weights_sha256


def _watched(model: torch.nn.Module, **options: object) -> repflow.Watch:
    with repflow.watch(model, metrics=["inter_token_cosine", "norm", "path"], **options) as flow, torch.no_grad():  # pyright: ignore[reportArgumentType]
        model(input_ids=ids_of(9, 12))
    return flow


def _equal(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a, b, check_dtype=False)


def test_the_run_holds_the_rows_and_says_what_was_watched(tmp_path: Path) -> None:
    model = mamba()
    flow = _watched(model, label="mine")
    run = flow.run(tmp_path / "run")
    assert isinstance(run, repflow.Run)
    for name in ("layers", "pairs", "paths"):
        _equal(getattr(run, name), getattr(flow, name))
    assert run.layers["subject"].unique().tolist() == ["mine"]
    (subject,) = run.subjects
    assert (subject["family"], subject["kind"], subject["n_blocks"], subject["width"]) == ("mamba", "SSM", 2, 16)
    assert subject["n_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert subject["weights_sha256"] == weights_sha256(model)
    assert (run.info["command"], run.info["tasks"][0]["context"]) == ("watch", 12)
    assert run.units["n_units"].tolist() == [9]
    assert run.replicates["layers"].shape == (len(run.layers), 200)
    assert list(run.info["warnings"]) == list(flow.warnings)
    _equal(repflow.open(tmp_path / "run").layers, flow.layers)


def test_it_has_a_page_figures_and_a_summary(tmp_path: Path) -> None:
    run = _watched(gpt2()).run(tmp_path / "run")
    assert "watch, 12 tokens" in run.write_report().read_text()
    assert run.plot.inter_token_cosine().data
    assert "model" in run._repr_html_()
    assert {finding["id"] for finding in run.findings}


def test_steps_make_the_course_of_a_training(tmp_path: Path) -> None:
    model = gpt2()
    with repflow.watch(model, metrics=["inter_token_cosine"]) as flow, torch.no_grad():
        for step in (0, 3):
            flow.step(step)
            model(input_ids=ids_of(9, 12))
            model.transformer.wte.weight.mul_(1.5)
    run = flow.run(tmp_path / "run")
    assert run.layers["step"].unique().tolist() == [0, 3]
    assert run.subjects[0]["steps"] == [0, 3]
    assert "weights_sha256" not in run.subjects[0], "the weights are no longer those of the last pass"
    assert all(len(trace.x) == 2 for trace in run.plot.training().data)


def test_without_a_name_it_goes_where_other_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flow = _watched(gpt2())
    first, second = flow.run(), flow.run()
    assert first.directory.parent == tmp_path / "runs"
    assert first.directory.name.startswith("watch-2")
    assert second.directory != first.directory


def test_what_is_seen_later_is_another_run(tmp_path: Path) -> None:
    model = gpt2()
    with repflow.watch(model, metrics=["norm"]) as flow, torch.no_grad():
        with pytest.raises(NotEnoughData, match="nothing was measured"):
            flow.run(tmp_path / "run")
        model(input_ids=ids_of(9, 12))
        first = flow.run(tmp_path / "run")
        model(input_ids=ids_of(5, 12))
    with pytest.raises(StoreConflict):
        flow.run(tmp_path / "run")
    second = flow.run(tmp_path / "run", overwrite=True)
    assert (first.units["n_examples"].tolist(), second.units["n_examples"].tolist()) == ([9], [14])
    with pytest.raises(BadSetting, match="overwrite"):
        flow.run(overwrite=True)
