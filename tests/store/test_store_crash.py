"""Killed at any moment, a directory holds one run, whole or resumable."""

import json
from pathlib import Path

import pytest
from store_runs import create, finish, finished, names, parts, unfinished

from repflow.core import StoreConflict
from repflow.store import RunWriter, open_run
from repflow.store import writer as writer_module


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs but the release of the lock, which the system would do."""


def die_finishing(writer: RunWriter) -> None:
    with writer, pytest.raises(Killed):
        finish(writer)


@pytest.mark.parametrize("survived", range(6))
def test_killed_anywhere_in_finish_the_run_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    whole = finished(tmp_path / "whole")
    directory = unfinished(tmp_path / "r")
    written: list[Path] = []
    write = writer_module.write_bytes_atomic

    def dying(path: Path, data: bytes) -> None:
        if len(written) == survived:
            raise Killed
        written.append(path)
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "write_bytes_atomic", dying)
        die_finishing(create(directory, resume=True))
    with pytest.raises(StoreConflict, match="unfinished"):
        open_run(directory)
    with create(directory, resume=True) as writer:
        assert parts(writer) == ["a"]
        finish(writer)
    assert {p.name: p.read_bytes() for p in directory.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}


@pytest.mark.parametrize("step", ["remove_temporaries", "remove_parts", "remove_results"])
def test_killed_while_overwriting_never_mixes_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    directory = unfinished(tmp_path)

    def dying(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, create(directory, {"context": 1}, overwrite=True) as writer:
        patch.setattr(f"repflow.store.layout.{step}", dying)
        with pytest.raises(Killed):
            writer.save_part("new", {}, {})
    begun = json.loads((directory / "run.json").read_text())["settings"]
    with create(directory, begun, resume=True) as writer:
        assert parts(writer) == ([] if begun == {"context": 1} else ["a"])


def test_a_run_killed_before_its_checkpoint_went_is_tidied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(_: Path) -> None:
        raise Killed

    writer = create(unfinished(tmp_path), resume=True)
    with monkeypatch.context() as patch:
        patch.setattr("repflow.store.layout.remove_parts", dying)
        die_finishing(writer)
    assert open_run(tmp_path).layers["value"].tolist() == [0.25]
    assert "checkpoint" in names(tmp_path)
    with create(tmp_path, resume=True) as writer:
        assert writer.finished
    assert names(tmp_path) == {"run.json", "findings.json", "layers.parquet", "pairs.parquet", "paths.parquet"}
