"""A probe run stopped anywhere and resumed is the run that nobody disturbed; what is not its own is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import repflow
from repflow.cli import main
from repflow.core import BadFile, StoreConflict
from repflow.store import Run, open_run
from repflow.studies.probe import reading as probe_reading
from repflow.studies.probe import subject as probe_subject
from repflow.studies.probe.linear.features import FeatureFile

SUBJECTS = ["config:gpt2,layers=2,width=16", "config:mamba2,layers=2,width=16"]
SETTINGS: dict[str, Any] = {
    "task": "kvpr",
    "target": "position",
    "context": [260, 300],
    "examples": 8,
    "positions": 2,
    "items": 3,
    "keys": "hex4",
    "places": ["last", "gold"],
    "seeds": 1,
    "new_tokens": 3,
    "shard": 6,
}
TABLES = ("probes", "probe_classes", "probe_summary", "answers", "telling")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    return repflow.probe(SUBJECTS, out=tmp_path_factory.mktemp("whole") / "run", **SETTINGS)


def assert_same(one: Run, other: Run) -> None:
    files = {path.name for path in one.directory.iterdir()}
    assert files == {path.name for path in other.directory.iterdir()}
    assert {f"{table}.parquet" for table in TABLES} < files
    for name in files - {"run.json"}:
        assert (one.directory / name).read_bytes() == (other.directory / name).read_bytes(), name


def stopping(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: int, after: bool) -> None:
    """Ctrl-C arrives when `name` has been called so often: before the last of them does its work, or after."""
    work: Callable[..., Any] = getattr(module, name)
    seen: list[int] = []

    def stop(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) < calls:
            return work(*arguments)
        if after:
            work(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, stop)


# Two subjects of two contexts, 16 prompts in three shards each; the first shards of all contexts come first.
MOMENTS = [
    ("read_states", 1, False),
    ("read_states", 2, True),
    ("read_states", 4, False),
    ("read_states", 8, False),
    ("read_states", 12, True),
    ("fit_place", 1, False),
    ("fit_place", 1, True),
    ("fit_place", 3, True),
    ("fit_length", 2, True),
    ("fit_place", 8, False),
]


@pytest.mark.parametrize(("name", "calls", "after"), MOMENTS)
def test_stopped_and_resumed(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, calls: int, after: bool
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopping(patch, probe_reading if name == "read_states" else probe_subject, name, calls, after)
        with pytest.raises(repflow.RepflowError, match="interrupted; what is done stays"):
            repflow.probe(SUBJECTS, out=out, **SETTINGS)
    reads: list[int] = []
    read = probe_reading.read_states
    monkeypatch.setattr(probe_reading, "read_states", lambda *a: reads.append(len(a[1])) or read(*a))
    assert_same(whole, repflow.probe(SUBJECTS, out=out, resume=True, **SETTINGS))
    done = calls - 1 if name == "read_states" else {1: 6, 2: 6, 3: 6, 8: 12}[calls]
    assert len(reads) == 12 - done, "nothing is read twice but the shard that was cut off"


@pytest.mark.parametrize("gone", [(), (".npy",)])
def test_killed_while_its_features_went_leaves_none_at_the_end(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    def killed(path: Path) -> None:
        for suffix in gone:
            path.with_suffix(suffix).unlink()
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(FeatureFile, "discard", staticmethod(killed))
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            repflow.probe(SUBJECTS, out=out, **SETTINGS)
    left = [path.name for path in (out / "features").iterdir()]
    assert "00-kvpr-260.json" in left
    assert ("00-kvpr-260.npy" in left) is not bool(gone)
    assert_same(whole, resumed(out))
    assert not (out / "features").exists()


def test_another_shard_size_goes_on_too(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopping(patch, probe_reading, "read_states", 4, after=False)
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            repflow.probe(SUBJECTS, out=out, **SETTINGS)
    run = repflow.probe(SUBJECTS, out=out, resume=True, **SETTINGS | {"shard": 4})
    assert_same(whole, run)


def test_a_finished_run_is_returned(whole: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.directory.iterdir()}
    repflow.probe(SUBJECTS, out=whole.directory, resume=True, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in whole.directory.iterdir()} == before


def half_done(out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run stopped in the middle of its reading; its first feature file."""
    with monkeypatch.context() as patch:
        stopping(patch, probe_reading, "read_states", 4, after=False)
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            repflow.probe(SUBJECTS, out=out, **SETTINGS)
    return out / "features" / "00-kvpr-260.npy"


def resumed(out: Path) -> Run:
    return repflow.probe(SUBJECTS, out=out, resume=True, **SETTINGS)


def test_a_feature_file_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = half_done(tmp_path / "run", monkeypatch)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)
    with pytest.raises(BadFile, match="cut short"):
        resumed(tmp_path / "run")


@pytest.mark.parametrize("change", ["weights_sha256", "states_dtype", "examples_sha256"])
def test_features_of_another_run_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    facts = half_done(tmp_path / "run", monkeypatch).with_suffix(".json")
    told = json.loads(facts.read_text(encoding="utf-8"))
    facts.write_text(json.dumps(told | {change: "other"}), encoding="utf-8")
    with pytest.raises(StoreConflict, match=f"features of another run, its {change} differs: other, needed"):
        resumed(tmp_path / "run")
    assert_nothing_lost(tmp_path / "run")


def assert_nothing_lost(out: Path) -> None:
    assert any((out / "checkpoint").iterdir())


def test_features_of_another_dtype_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = half_done(tmp_path / "run", monkeypatch)
    np.save(path, np.load(path).astype(np.float64))
    with pytest.raises(BadFile, match="holds float64"):
        resumed(tmp_path / "run")


def test_a_file_that_is_gone_is_read_again(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = half_done(tmp_path / "run", monkeypatch)
    path.with_suffix(".json").unlink()
    assert_same(whole, resumed(tmp_path / "run"))


def test_other_settings_are_refused_and_overwriting_begins_anew(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    begun = half_done(out, monkeypatch)
    with pytest.raises(StoreConflict, match=r'was begun with other settings: dtype: was "auto", now "bfloat16"'):
        repflow.probe(SUBJECTS, out=out, resume=True, dtype="bfloat16", **SETTINGS)
    with pytest.raises(StoreConflict, match="use --resume to finish it or --overwrite"):
        repflow.probe(SUBJECTS, out=out, **SETTINGS)
    for name in ("note.txt", "mine.npy", "mine.json"):
        (out / "features" / name).write_text('{"format": "mine"}', encoding="utf-8")
    first = out / "features" / "99-old.npy"
    first.write_bytes(b"")
    first.with_suffix(".json").write_bytes(begun.with_suffix(".json").read_bytes())
    run = repflow.probe(SUBJECTS, out=out, overwrite=True, **SETTINGS)
    assert not first.exists()
    left = {path.name for path in (out / "features").iterdir()}
    assert left == {"note.txt", "mine.npy", "mine.json"}, "what is not ours stays"
    assert run.probes.equals(whole.probes)


def test_keeping_the_features_may_be_decided_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_done(tmp_path / "run", monkeypatch)
    run = repflow.probe(SUBJECTS, out=tmp_path / "run", resume=True, keep_features=True, **SETTINGS)
    names = sorted(path.name for path in (run.directory / "features").glob("*.npy"))
    assert names == ["00-kvpr-260.npy", "00-kvpr-300.npy", "01-kvpr-260.npy", "01-kvpr-300.npy"]


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(whole: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = [
        f
        for name, v in SETTINGS.items()
        for f in (f"--{name.replace('_', '-')}", *map(str, v if isinstance(v, list) else [v]))
    ]
    command = ["probe", *SUBJECTS, *flags, "--no-report", "--out", str(out)]
    met = 0
    for parts in (1, 4, 8, 13):
        process = subprocess.Popen(
            [sys.executable, "-m", "repflow", *command, "--resume"],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and len(list((out / "checkpoint").glob("*.part"))) < parts:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        met += process.wait() == -signal.SIGKILL
    assert met >= 3
    assert main([*command, "--resume"]) == 0
    assert_same(whole, open_run(out))
