"""What must not move a number: batches, shards, a second run, a resumed one."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import repflow
from repflow.engines import local
from repflow.store import Run

TABLES = ("layers", "pairs", "paths")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key-value records of many lengths."""
    draw = random.Random(3)
    lines = []
    for _ in range(16):
        words = ["".join(draw.choices("abcdef0123", k=draw.randint(1, 14))) + str(i) for i in range(12)]
        records = [[key, value] for key, value in zip(words[::2], words[1::2], strict=True)]
        lines.append(json.dumps({"ordered_kv_records": records, "key": words[0], "value": words[1]}))
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def measured(folder: Path, pairs_file: Path, second: str = "jamba", **settings: Any) -> Run:
    subjects = ["config:pythia,layers=2,width=32", f"config:{second},layers=2,width=32"]
    options = {"examples": 11, "calibration": 3, "context": 400, "permutations": 19, "replicates": 40} | settings
    return repflow.flow(subjects, task="kvpr", data=str(pairs_file), out=folder, **options)


NUMBERS = ("value", "ci_low", "ci_high")


def gap(a: pd.DataFrame, b: pd.DataFrame, numbers: Sequence[str] = NUMBERS) -> float:
    """The largest difference of two tables' numbers, beside the larger of 1 and the number."""
    assert list(a) == list(b)
    assert len(a) == len(b) > 0
    others = [name for name in a if name not in NUMBERS]
    pd.testing.assert_frame_equal(a[others], b[others])
    left, right = (frame[list(numbers)].to_numpy(float) for frame in (a, b))
    assert np.array_equal(np.isnan(left), np.isnan(right))
    return float(np.nanmax(np.abs(left - right) / np.maximum(1.0, np.abs(left))))


def test_batched_equals_unbatched(tmp_path: Path, pairs_file: Path) -> None:
    # All prompts end alike: after one Mamba block their last tokens still differ by no more than roundings, and CKA
    # between examples has nothing to go by. Attention looks back from the start.
    one = measured(tmp_path / "one", pairs_file, "llama", batch_tokens=1)
    many = measured(tmp_path / "many", pairs_file, "llama", batch_tokens=4_000)
    task = one.info["tasks"][0]
    assert task["n_tokens"] < task["n_examples"] * task["longest"], "lengths differ, so batches are padded"
    for table in TABLES:
        assert gap(getattr(one, table), getattr(many, table), ["value"]) < 1e-5, table
        # Replicates of CKA between examples are quotients of small numbers: 11 examples, drawn more than once.
        assert gap(getattr(one, table), getattr(many, table)) < 1e-4, table


def test_the_same_settings_give_the_same_bytes(tmp_path: Path, pairs_file: Path) -> None:
    one, other = measured(tmp_path / "one", pairs_file), measured(tmp_path / "other", pairs_file)
    files = {path.name for path in one.directory.iterdir()}
    assert files == {path.name for path in other.directory.iterdir()}
    assert {f"{table}.parquet" for table in TABLES} < files
    for name in files - {"run.json"}:
        assert (one.directory / name).read_bytes() == (other.directory / name).read_bytes(), name


def test_shards_of_any_size_give_the_same_numbers(tmp_path: Path, pairs_file: Path) -> None:
    runs = [measured(tmp_path / str(n), pairs_file, shard=n, batch_tokens=1) for n in (1, 3, 50)]
    for table in TABLES:
        for run in runs[1:]:
            assert gap(getattr(runs[0], table), getattr(run, table)) < 1e-9, table


def interrupted_at(monkeypatch: pytest.MonkeyPatch, shard: int) -> None:
    """Ctrl-C arrives when `shard` shards are measured."""
    measure, seen = local.measure, []

    def stopping(*arguments: Any) -> Any:
        if len(seen) == shard:
            raise KeyboardInterrupt
        seen.append(1)
        return measure(*arguments)

    monkeypatch.setattr(local, "measure", stopping)


def resumed(
    folder: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, first: dict[str, Any], then: dict[str, Any]
) -> Run:
    with monkeypatch.context() as patch:
        interrupted_at(patch, 4)
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            measured(folder, pairs_file, **first)
    assert any((folder / "checkpoint").iterdir())
    return measured(folder, pairs_file, **then, resume=True)


def test_a_run_resumes_with_another_shard_size(
    tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"batch_tokens": 1}
    whole = measured(tmp_path / "whole", pairs_file, **options)
    run = resumed(tmp_path / "run", pairs_file, monkeypatch, options | {"shard": 1}, options | {"shard": 4})
    for table in TABLES:
        assert gap(getattr(whole, table), getattr(run, table)) < 1e-9, table


def test_shards_of_a_file_that_changed_meanwhile_are_measured_again(
    tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(pairs_file.read_bytes())
    with monkeypatch.context() as patch:
        interrupted_at(patch, 4)
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            measured(tmp_path / "run", file, shard=1)
    file.write_text("\n".join(reversed(file.read_text(encoding="utf-8").splitlines())), encoding="utf-8")
    run = measured(tmp_path / "run", file, shard=1, resume=True)
    fresh = measured(tmp_path / "fresh", file, shard=1)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(run, table), getattr(fresh, table), check_exact=True)


def test_a_finished_run_is_returned_as_it_is(tmp_path: Path, pairs_file: Path) -> None:
    run = measured(tmp_path / "run", pairs_file)
    before = {path: path.stat().st_mtime_ns for path in run.directory.iterdir()}
    again = measured(tmp_path / "run", pairs_file, resume=True)
    assert {path: path.stat().st_mtime_ns for path in run.directory.iterdir()} == before
    pd.testing.assert_frame_equal(again.layers, run.layers)
