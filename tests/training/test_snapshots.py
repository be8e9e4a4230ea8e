"""Snapshots of a training give the rows that the callback wrote while it ran."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from callback_kit import LAST, MEASURE, STEPS, TASK, flow_callback, fresh, same_rows, steps_of, subject, trainer

import repflow
from repflow.core import BadFile, BadSetting, CallerError, Interrupted
from repflow.store import Run, compare, join
from repflow.studies.kit.settings import MeasureSettings
from repflow.studies.kit.thirds import thirds
from repflow.training import measure_snapshots
from repflow.training import series as _series

FAMILIES = ("gpt_neo", "mamba")


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each family FAMILY/run, measured while it trained, and FAMILY/snapshots/STEP."""
    folder = tmp_path_factory.mktemp("trainings")
    for family in FAMILIES:
        model, place = fresh(family), folder / family
        _save(model, family, place / "snapshots" / "0")
        callback = flow_callback(place / "run", label=f"zoo:{family}")
        trainer(model, place / "snapshots", [callback], save_strategy="steps", save_steps=1).train()
        for step in STEPS[1:]:
            (place / "snapshots" / f"checkpoint-{step}").rename(place / "snapshots" / str(step))
            subject(family).tokenizer.save_pretrained(place / "snapshots" / str(step))
    return folder


def _save(model, family: str, place: Path) -> None:
    model.save_pretrained(place)
    subject(family).tokenizer.save_pretrained(place)


def snapshots(trainings: Path, steps: list[int] = STEPS) -> dict[str, dict[int, Path]]:
    return {f"zoo:{family}": {s: trainings / family / "snapshots" / str(s) for s in steps} for family in FAMILIES}


@pytest.fixture(scope="module")
def measured(trainings: Path) -> Run:
    return measure_snapshots(snapshots(trainings), trainings / "all", TASK, MEASURE)


def test_the_rows_are_those_of_the_callback(trainings: Path, measured: Run) -> None:
    joined = join([trainings / family / "run" for family in FAMILIES], trainings / "joined")
    same_rows(measured, joined, whole=True)
    assert steps_of(measured) == STEPS
    for mine, theirs in zip(measured.subjects, joined.subjects, strict=True):
        assert mine["label"] == theirs["label"]
        assert mine["steps"] == STEPS
        assert mine["weights_sha256_of_steps"] == theirs["weights_sha256_of_steps"]
    assert measured.info["tasks"] == joined.info["tasks"]
    assert measured.info["command"] == joined.info["command"]
    assert measured.info["seed"] == joined.info["seed"]
    assert measured.info["warnings"] == joined.info["warnings"]


def test_no_place_on_this_machine_is_recorded(trainings: Path, measured: Run) -> None:
    assert str(trainings) not in (measured.directory / "run.json").read_text()
    assert measured.settings["steps"] == {"zoo:gpt_neo": STEPS, "zoo:mamba": STEPS}


def test_it_resumes(trainings: Path, measured: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    measure = _series.measure

    def interrupted(*arguments):
        seen.append((arguments[2].label, arguments[-1]))
        if len(seen) == 8:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(_series, "measure", interrupted)
    with pytest.raises(Interrupted, match="what is measured stays"):
        measure_snapshots(snapshots(trainings), tmp_path / "run", TASK, MEASURE)
    run = measure_snapshots(snapshots(trainings), tmp_path / "run", TASK, MEASURE)
    same_rows(run, measured, whole=True)
    assert len(seen) == 2 * len(STEPS) + 1, "only the interrupted one twice"


def test_other_weights_are_measured_again(trainings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"m": {0: trainings / "mamba" / "snapshots" / "0", 1: tmp_path / "late"}}
    (tmp_path / "late").symlink_to(trainings / "mamba" / "snapshots" / "1")
    with monkeypatch.context() as patch:
        patch.setattr(_series.Series, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            measure_snapshots(first, tmp_path / "run", TASK, MEASURE)
    (tmp_path / "late").unlink()
    (tmp_path / "late").symlink_to(trainings / "mamba" / "snapshots" / "8")
    run = measure_snapshots(first, tmp_path / "run", TASK, MEASURE)
    whole = repflow.open(trainings / "mamba" / "run")
    values = run.layers[run.layers["step"] == 1]["value"].reset_index(drop=True)
    assert values.equals(whole.layers[whole.layers["step"] == 8]["value"].reset_index(drop=True))


def test_a_finished_run_is_returned_as_it_is(trainings: Path, measured: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in measured.directory.iterdir()}
    measure_snapshots(snapshots(trainings), measured.directory, TASK, MEASURE)
    assert {path: path.stat().st_mtime_ns for path in measured.directory.iterdir()} == before


def test_less_can_be_kept(trainings: Path, tmp_path: Path) -> None:
    measure = MeasureSettings(metrics=("inter_token_cosine", "v_loc"), calibration=0, replicates=40)
    some = snapshots(trainings, [0, LAST])
    run = measure_snapshots(some, tmp_path / "run", TASK, measure, keep_replicates=False)
    assert run.pairs.empty
    assert run.replicates == {}
    assert set(run.layers["metric"]) == {"inter_token_cosine"}
    assert run.paths["step"].unique().tolist() == [0, LAST]


def test_replicates_that_nothing_reads_can_be_left_out(trainings: Path, measured: Run, tmp_path: Path) -> None:
    thin = measure_snapshots(snapshots(trainings), tmp_path / "run", TASK, MEASURE, keep_replicates="read")
    same_rows(thin, measured)
    for name in ("layers", "paths"):
        kept, whole = thin.replicates[name], measured.replicates[name]
        held = ~np.isnan(kept).all(axis=1)
        assert np.array_equal(kept[held], whole[held], equal_nan=True)
        assert held.sum() < len(held)
    drawn, as_before = (thirds(run.layers, run.replicates).replicates for run in (thin, measured))
    assert drawn is not None
    assert as_before is not None
    assert np.isfinite(drawn).any()
    assert np.array_equal(drawn, as_before, equal_nan=True)
    pd.testing.assert_frame_equal(compare(thin, thin), compare(measured, measured))


def test_mistakes_are_found_before_anything_is_loaded(trainings: Path, tmp_path: Path) -> None:
    good = {0: trainings / "mamba" / "snapshots" / "0"}
    with pytest.raises(BadSetting, match="at least one subject, each with at least one snapshot"):
        measure_snapshots({"a": good, "b": {}}, tmp_path / "run")
    with pytest.raises(BadSetting, match="b: a step is a whole number of 0 or more, got '1'"):
        measure_snapshots({"a": good, "b": {"1": good[0]}}, tmp_path / "run")
    with pytest.raises(BadFile, match="no such model directory"):
        measure_snapshots({"a": good, "b": {1: tmp_path / "nothing"}}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_snapshots_of_two_models_are_refused(trainings: Path, tmp_path: Path) -> None:
    mixed = {"m": {step: trainings / family / "snapshots" / "1" for step, family in enumerate(FAMILIES)}}
    with pytest.raises(CallerError, match="m: the snapshot of step 1 has another family than the first"):
        measure_snapshots(mixed, tmp_path / "run", TASK, MEASURE)
