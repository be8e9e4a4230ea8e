"""What a run says is what was written: no flipped bit, lost file or later edit goes unnoticed."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_rows import layer_row, pair_row, path_row, run_info
from store_runs import create, finish, finished, unseal

from repflow.core import BadFile, RepflowError, StoreConflict
from repflow.store import Run, RunWriter, open_run
from repflow.store import seal as _seal
from repflow.studies.probe.linear.features import FeatureFacts, FeatureFile

FLIPS = 1_000


def full_run(directory: Path) -> Path:
    """A run with every kind of file."""
    facts = FeatureFacts("m", "w", "kvpr", 64, "e", "float32", ("last",), ("embed",), 3, (0, 1), (0, 1), (0, 0))
    layers = [layer_row(site_index=i, value=i / 7) for i in range(6)]
    drawn = np.random.default_rng(0).random((6, 20), dtype=np.float32)
    findings = [{"id": "attribution", "verdict": "architecture", "value": 0.25}]
    with RunWriter.create(directory, {"context": 128, "seed": 0}, "flow") as writer:
        FeatureFile.create(writer.features() / "00-kvpr-64.npy", facts).write(0, np.ones((1, 1, 2, 3)))
        writer.finish(layers, [pair_row()], [path_row()], run_info("m"), findings, replicates={"layers": drawn})
    return directory


def content(run: Run) -> list[Any]:
    """Everything that is read from a run, comparable."""
    frames = [frame.to_json() for frame in (run.layers, run.pairs, run.paths)]
    features = [path.read_bytes() for path in sorted((run.directory / "features").iterdir())]
    drawn = {name: array.tobytes() for name, array in run.replicates.items()}
    return [run.info, run.findings, frames, drawn, features]


def read_or_line(directory: Path) -> list[Any] | str:
    """What the run holds, or why it does not open."""
    try:
        return content(open_run(directory))
    except (BadFile, StoreConflict) as error:
        return str(error)


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    directory = full_run(tmp_path / "r")
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".json", ".parquet", ".safetensors", ".npy"}
    expected = content(open_run(directory))
    draw = random.Random(0)
    refused = 0
    for flip in range(FLIPS):
        path = files[flip % len(files)]
        written = path.read_bytes()
        spoiled = bytearray(written)
        spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
        path.write_bytes(spoiled)
        found = read_or_line(directory)
        if isinstance(found, str):
            refused += 1
            assert path.name in found
            assert "\n" not in found
        else:
            assert found == expected, f"{path.name} differs at one bit"
        path.write_bytes(written)
    assert refused == FLIPS, "no bit of any file is idle"
    assert content(open_run(directory)) == expected


@pytest.mark.parametrize(
    "name", ["layers.parquet", "findings.json", "replicates.safetensors", "features/00-kvpr-64.npy"]
)
def test_a_lost_file_is_an_error_and_not_none(tmp_path: Path, name: str) -> None:
    directory = full_run(tmp_path / "r")
    (directory / name).unlink()
    with pytest.raises(BadFile, match=rf"{name} is absent.*; restore it from a copy, or run the study again with --ov"):
        open_run(directory)
    (directory / name).mkdir()
    with pytest.raises(BadFile, match=rf"{name} is a folder"):
        open_run(directory)
    (directory / name).rmdir()
    os.mkfifo(directory / name)
    with pytest.raises(BadFile, match=rf"{name} is no plain file"):
        open_run(directory)


def test_a_file_that_came_later_is_not_taken_for_the_runs(tmp_path: Path) -> None:
    directory = finished(tmp_path / "r")
    (directory / "replicates.safetensors").write_bytes(b"\0" * 30)
    assert open_run(directory).replicates == {}


def test_another_size_is_seen_without_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = finished(tmp_path / "r")
    with (directory / "layers.parquet").open("ab") as stream:
        stream.write(b"x")
    monkeypatch.setattr(_seal, "entry_of", None)
    with pytest.raises(BadFile, match=r"layers\.parquet is damaged: [\d,]+ bytes, [\d,]+ were written"):
        open_run(directory)


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = full_run(tmp_path / "r")
    hashed: list[str] = []
    entry_of = _seal.entry_of
    monkeypatch.setattr(_seal, "entry_of", lambda path: hashed.append(path.name) or entry_of(path))
    monkeypatch.setattr(_seal, "_SETTLED_NS", -1)
    open_run(directory)
    assert len(hashed) == len(json.loads((directory / "run.json").read_text())["files"]) == 7
    open_run(directory)
    assert len(hashed) == 7
    path, times = directory / "pairs.parquet", (directory / "pairs.parquet").stat()
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(BadFile, match=r"pairs\.parquet"):
        open_run(directory)


def test_a_table_that_changes_after_the_run_was_opened(tmp_path: Path) -> None:
    directory = finished(tmp_path / "r")
    run = open_run(directory)
    other = RunWriter.create(directory, {"context": 1}, "flow", overwrite=True)
    with other:
        other.finish([layer_row(value=0.75)], [], [], run_info("other"))
    with pytest.raises(BadFile, match=r"layers\.parquet is damaged or was changed"):
        _ = run.layers


def test_a_run_that_is_being_replaced_is_said_to_be_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = finished(tmp_path / "r")
    check = _seal.check_files

    def replaced_meanwhile(*asked: Any) -> None:
        monkeypatch.setattr("repflow.store.marker.check_files", check)
        with create(directory, {"context": 1}, overwrite=True) as writer:
            writer.save_part("a", {}, {})
        check(*asked)

    monkeypatch.setattr("repflow.store.marker.check_files", replaced_meanwhile)
    with pytest.raises(StoreConflict, match="unfinished flow run"):
        open_run(directory)


@pytest.mark.parametrize("lost", ["files", "sha256"])
def test_half_of_the_checksums_is_damage(tmp_path: Path, lost: str) -> None:
    path = finished(tmp_path / "r") / "run.json"
    known = json.loads(path.read_text())
    del known[lost]
    path.write_text(json.dumps(known))
    with pytest.raises(BadFile, match=r"run\.json is damaged"):
        open_run(path.parent)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", ""])
def test_no_list_of_files_leads_out_of_the_run(tmp_path: Path, name: str) -> None:
    path = finished(tmp_path / "r") / "run.json"
    known = json.loads(path.read_text())
    known["files"][name] = {"bytes": 0, "sha256": ""}
    path.write_text(json.dumps(_seal.sealed(known)))
    with pytest.raises(BadFile, match="broken list of files"):
        open_run(path.parent)


def test_a_run_without_checksums_opens(tmp_path: Path) -> None:
    assert content(open_run(unseal(full_run(tmp_path / "r"))))[1][0]["verdict"] == "architecture"
    assert len(open_run("zoo:training").layers)


def test_a_damaged_run_can_be_overwritten_and_not_resumed(tmp_path: Path) -> None:
    directory = finished(tmp_path / "r")
    path = directory / "run.json"
    path.write_text(path.read_text().replace("128", "129"))
    for flags in ({}, {"resume": True}):
        with pytest.raises(RepflowError, match=r"run\.json is damaged.*--overwrite"):
            create(directory, **flags)
    with create(directory, overwrite=True) as writer:
        finish(writer)
    assert open_run(directory).layers["value"].tolist() == [0.25]
