"""Who may write a directory: new, resumed, overwritten, refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from store_runs import SETTINGS, create, edit, finish, finished, names, parts, unfinished

from repflow.core import BadFile, LayerRow, StoreConflict
from repflow.store import RunWriter, open_run


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_an_absent_or_empty_directory_begins_a_run(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "empty").mkdir()
    for directory in (tmp_path / "empty", tmp_path / "deep" / "er"):
        with create(directory, **flags) as writer:
            assert not writer.finished
            assert parts(writer) == []
            finish(writer)
        assert open_run(directory).layers["value"].tolist() == [0.25]


def test_a_run_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    with create(tmp_path / "deep" / "er"):
        assert (tmp_path / "deep" / "er").is_dir()
    assert names(tmp_path) == set()


def test_an_existing_run_needs_a_flag(tmp_path: Path) -> None:
    with pytest.raises(StoreConflict, match="a finished run; use --resume to return it or --overwrite to start anew"):
        create(finished(tmp_path / "a"))
    with pytest.raises(StoreConflict, match="an unfinished run; use --resume to finish it or --overwrite"):
        create(unfinished(tmp_path / "b"))
    with pytest.raises(StoreConflict, match="give one of them"):
        create(tmp_path / "b", resume=True, overwrite=True)


def test_a_finished_run_is_returned(tmp_path: Path) -> None:
    directory = finished(tmp_path / "r")
    before = {path: path.read_bytes() for path in directory.iterdir()}
    with create(directory, resume=True) as writer:
        assert writer.finished
        assert parts(writer) == []
        with pytest.raises(RuntimeError, match="finished"):
            writer.save_part("a", {}, {})
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


@pytest.mark.parametrize("make", [finished, unfinished])
def test_resuming_with_other_settings_names_them(tmp_path: Path, make: Any) -> None:
    directory = make(tmp_path / "r")
    other = {"context": 256, "metrics": ["cka", "norm"], "seed": 1, "workers": 2}
    with pytest.raises(StoreConflict) as caught:
        create(directory, other, resume=True, free={"workers"})
    text = str(caught.value)
    assert "context: was 128, now 256; seed: was not set, now 1;" in text
    assert "workers" not in text
    assert "metrics" not in text
    with pytest.raises(StoreConflict, match="holds a 'flow' run, asked to resume 'probe'"):
        RunWriter.create(directory, SETTINGS, "probe", resume=True)


def test_free_settings_may_change(tmp_path: Path) -> None:
    with create(unfinished(tmp_path), {**SETTINGS, "workers": 4}, resume=True, free={"workers"}) as writer:
        assert writer.read_part("a") is not None
        finish(writer)
    assert open_run(tmp_path).settings["workers"] == 4


def test_an_unfinished_run_of_another_version_is_not_mixed(tmp_path: Path) -> None:
    for make, ok in ((unfinished, False), (finished, True)):
        directory = make(tmp_path / make.__name__)
        edit(directory, repflow_version="0.0.1")
        if ok:
            assert create(directory, resume=True).finished
        else:
            with pytest.raises(StoreConflict, match=r"begun by repflow 0\.0\.1"):
                create(directory, resume=True)


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_somebody_elses_folder_is_never_touched(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "checkpoint").mkdir()
    kept = ["thesis.tex", "data.parquet", "checkpoint/model.bin", "report.html", "findings.json"]
    for name in kept:
        (tmp_path / name).write_text(name)
    with pytest.raises(StoreConflict, match=r"holds other files \(checkpoint, .*\.\.\.\) and no run"):
        create(tmp_path, **flags)
    assert all((tmp_path / name).read_text() == name for name in kept)
    assert len(names(tmp_path)) == 5
    (tmp_path / "run.json").write_text('{"name": "another tool"}')
    with pytest.raises(BadFile, match="was not written by repflow"):
        create(tmp_path, **flags)
    assert len(names(tmp_path)) == 6


FIGURE = "figures/cka_0-m-normal-0_text-128.pdf"


def test_overwriting_keeps_ones_own_files_among_the_figures(tmp_path: Path) -> None:
    directory = finished(tmp_path / "r")
    mine = ["figure 1.pdf", "cka_notes.txt", "paths.svg", "sub/paths_text-128.png"]
    ours = ["inter_token_cosine_text-128.png", "adjacent_cosine_kvpr-8.svg", "paths_up-128.pdf", ".repflow-1-2.tmp"]
    for name in [*mine, *ours]:
        path = directory / "figures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    listed = [*ours[:-1], "sub/paths_text-128.png", "../run.json", 3]
    (directory / "figures" / "figures.json").write_text(json.dumps(listed))
    with create(directory, overwrite=True) as writer:
        finish(writer)
    left = {str(path.relative_to(directory / "figures")) for path in (directory / "figures").rglob("*.*")}
    assert left == set(mine)


def test_overwriting_deletes_only_what_a_run_holds(tmp_path: Path) -> None:
    directory = finished(tmp_path / "r")
    for name in ("notes.txt", "mine.parquet", "report.html", "probes.parquet", FIGURE, ".repflow-1-2.tmp"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(name)
    (directory / "figures" / "figures.json").write_text(json.dumps([Path(FIGURE).name]))
    (directory / "copy.parquet").write_bytes((directory / "layers.parquet").read_bytes())
    with create(directory, {"context": 1}, overwrite=True) as writer:
        assert "report.html" in names(directory)
        writer.save_part("a", {}, {})
        mine = {"notes.txt", "mine.parquet", "copy.parquet", "probes.parquet"}
        assert names(directory) == mine | {"run.json", "checkpoint", ".repflow.lock"}
    assert (directory / "notes.txt").read_text() == "notes.txt"
    with create(directory, {"context": 1}, resume=True) as writer:
        assert parts(writer) == ["a"]


def test_overwriting_deletes_the_tables_of_a_run_that_was_killed_before_its_end(tmp_path: Path) -> None:
    killed = create(tmp_path / "r")
    killed.write_table("probes", [], LayerRow)
    killed.close()
    assert "probes.parquet" in names(tmp_path / "r")
    with create(tmp_path / "r", {"context": 1}, overwrite=True) as writer:
        writer.save_part("a", {}, {})
        assert names(tmp_path / "r") == {"run.json", "checkpoint", ".repflow.lock"}


def test_overwriting_does_not_follow_links_out(tmp_path: Path) -> None:
    directory, outside = finished(tmp_path / "r"), tmp_path / "pictures"
    outside.mkdir()
    (outside / "cat.png").write_text("cat")
    (directory / "figures").symlink_to(outside)
    with create(directory, overwrite=True) as writer:
        finish(writer)
    assert (outside / "cat.png").read_text() == "cat"
    assert "figures" not in names(directory)


def test_an_overwrite_that_comes_to_nothing_leaves_the_old_run(tmp_path: Path) -> None:
    directory = unfinished(tmp_path)
    before = json.loads((directory / "run.json").read_text())
    with create(directory, {"context": 1}, overwrite=True) as writer:
        assert parts(writer) == []
        assert writer.read_part("a") is None
    assert json.loads((directory / "run.json").read_text()) == before
    with create(directory, resume=True) as writer:
        assert parts(writer) == ["a"]


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(StoreConflict, match="is a file, needed a directory"):
        create(tmp_path / "f", overwrite=True)
    with pytest.raises(BadFile, match="a part of the path is a file"):
        create(tmp_path / "f" / "g")


@pytest.mark.parametrize("number", [13, 30])
def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("repflow.store.lock.os.open", refuse)
    with pytest.raises(BadFile, match=r"cannot write the run directory .*/r: .*choose another --out"):
        create(tmp_path / "r")
    assert names(tmp_path) == set()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody may write")
def test_a_folder_nobody_may_write() -> None:
    with pytest.raises(BadFile, match="cannot write the run directory /proc/repflow/r"):
        create(Path("/proc/repflow/r"))
