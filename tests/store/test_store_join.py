"""Runs joined are the runs, one after the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from store_rows import MakeRun, layer_row, pair_row, path_row, run_info

from repflow.core import BadSetting, StoreConflict
from repflow.store import Run, RunWriter, compare, join, open_run


def training(make_run: MakeRun, label: str, steps: tuple[int, ...] = (0, 4), **changes: Any) -> Run:
    """A run of one subject in training."""
    info = run_info(label, **changes)
    info["subjects"][0] |= {"steps": list(steps), "weights_sha256_of_steps": [f"{label}-{step}" for step in steps]}
    info["warnings"] = ["few examples", f"{label}: odd"]
    info["timings"] = {label: {"forward_s": 2.0}, "total_s": 3.0}
    layers = [layer_row(label, i, (i + 1) / 7, step=step) for step in steps for i in range(3)]
    paths = [path_row(label, step=step) for step in steps]
    pairs = [replace(pair_row(label, label), step=step) for step in steps]
    noise = np.random.default_rng(len(label)).normal(size=(len(layers), 30))
    drawn = {"layers": noise, "paths": noise[: len(paths)]}
    name = f"{label}-{steps[0]}"
    return make_run(name, layers, info, pairs=pairs, paths=paths, replicates=drawn, findings=[{"id": f"of {name}"}])


def test_rows_replicates_and_facts_follow_one_another(make_run: MakeRun, tmp_path: Path) -> None:
    a, b = training(make_run, "a"), training(make_run, "bb")
    joined = join([a.directory, b.directory], tmp_path / "out")
    for table in ("layers", "pairs", "paths"):
        apart = pd.concat([getattr(a, table), getattr(b, table)], ignore_index=True)
        pd.testing.assert_frame_equal(getattr(joined, table), apart, check_exact=True)
    for table in ("layers", "paths"):
        expected = np.concatenate([a.replicates[table], b.replicates[table]])
        np.testing.assert_array_equal(joined.replicates[table], expected)
    assert [subject["label"] for subject in joined.subjects] == ["a", "bb"]
    assert joined.settings["subjects"] == ["a", "bb"]
    assert joined.info["tasks"] == a.info["tasks"] + b.info["tasks"]
    assert joined.info["warnings"] == ["few examples", "a: odd", "bb: odd"]
    assert joined.info["timings"] == {"a": {"forward_s": 2.0}, "bb": {"forward_s": 2.0}, "total_s": 6.0}
    assert joined.info["command"] == "flow"
    assert joined.findings == [*a.findings, *b.findings]


def test_later_steps_of_one_training_join_the_earlier(make_run: MakeRun, tmp_path: Path) -> None:
    early, late = training(make_run, "a", (0, 4)), training(make_run, "a", (8, 16))
    joined = join([late.directory, early.directory], tmp_path / "out")
    (subject,) = joined.subjects
    assert subject["steps"] == [0, 4, 8, 16]
    assert subject["weights_sha256_of_steps"] == ["a-0", "a-4", "a-8", "a-16"]
    assert sorted(joined.layers["step"].unique()) == [0, 4, 8, 16]
    assert joined.info["timings"]["a"] == {"forward_s": 4.0}


def test_rows_without_a_step_stay_without(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run(name, [layer_row(name)], run_info(name)) for name in ("a", "b")]
    joined = join([run.directory for run in runs], tmp_path / "out")
    assert joined.layers["step"].isna().all()
    assert not compare(joined, joined, subject_a="a", subject_b="b").empty


def test_nan_survives(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a", [layer_row("a", value=np.nan)], run_info("a"))
    assert np.isnan(join([run.directory], tmp_path / "out").layers["value"]).all()


def test_replicates_that_one_run_lacks_are_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    a = training(make_run, "a")
    b = make_run("b", [layer_row("b", step=0)], run_info("b"))
    joined = join([a.directory, b.directory], tmp_path / "out")
    assert joined.replicates == {}
    assert "bootstrap replicates are left out, b kept none" in joined.info["warnings"]


def test_other_versions_are_said(make_run: MakeRun, tmp_path: Path) -> None:
    a = training(make_run, "a", versions={"torch": "2.12", "transformers": "5.17"})
    b = training(make_run, "bb", versions={"torch": "2.13", "transformers": "5.17"})
    joined = join([a.directory, b.directory], tmp_path / "out")
    assert "bb-0 was measured with torch 2.13, unlike the first" in joined.info["warnings"]


def test_the_same_rows_twice_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    a, again = training(make_run, "a", (0, 4)), training(make_run, "a", (4, 8))
    with pytest.raises(BadSetting, match=r"a-0 and .*a-4 both hold a on text at 128 at step 4; leave one out"):
        join([a.directory, again.directory], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_that_do_not_fit_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    a = training(make_run, "a")
    with RunWriter.create(tmp_path / "b", {"seed": 0, "context": 256}, "flow") as writer:
        writer.finish([layer_row("b")], [], [], run_info("b"))
    with pytest.raises(BadSetting, match=r"differ in context: was not set, now 256; join runs of the same"):
        join([a.directory, tmp_path / "b"], tmp_path / "out")
    seeded = training(make_run, "bb", seed=1)
    with pytest.raises(BadSetting, match="differ in seed: was 0, now 1"):
        join([a.directory, seeded.directory], tmp_path / "out")
    other = run_info("c")
    other["tasks"][0]["source"] = {"name": "text", "text": [{"file": "other.txt"}]}
    third = make_run("c", [layer_row("c")], other)
    with pytest.raises(BadSetting, match="differ in the files or data sets behind the tasks"):
        join([a.directory, third.directory], tmp_path / "out")
    with pytest.raises(BadSetting, match="join needs"):
        join([], tmp_path / "out")


def test_what_stands_in_out_is_safe(make_run: MakeRun) -> None:
    a, b = training(make_run, "a"), training(make_run, "bb")
    with pytest.raises(StoreConflict, match="finished run"):
        join([a.directory], b.directory)
    assert open_run(b.directory).subjects[0]["label"] == "bb"
    joined = join([a.directory, b.directory], b.directory, overwrite=True)
    assert len(joined.subjects) == 2
