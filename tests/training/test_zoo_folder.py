"""What --overwrite may delete, and who may train in a folder: strangers' files, links and other processes are safe."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repflow.core import BadFile, StoreConflict
from repflow.store import locked
from repflow.training.zoo.folder import MARKER, Training

FACTS: dict[str, Any] = {"model": "pythia-tiny", "settings": {"seed": 0}, "corpus": "c", "config": {"width": 16}}
OTHER = FACTS | {"settings": {"seed": 1}}
OURS = (
    "model/config.json",
    "model/model.safetensors",
    "model/README.md",
    "model/card.json",
    "snapshots/step-000004/model.safetensors",
    "checkpoints/checkpoint-4/optimizer.pt",
    "checkpoints/checkpoint-4/rng_state.pth",
    "checkpoints/checkpoint-12/trainer_state.json",
    "snapshots/.repflow-1-2.tmp",
)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def trained(tmp_path: Path) -> Training:
    """A finished training."""
    training = Training(tmp_path / "zoo" / "pythia-tiny")
    with training.claimed(FACTS, resume=False, overwrite=False) as state:
        assert state == "new"
        write(training.path, *OURS)
        training.mark(FACTS, "finished")
    return training


def test_overwriting_deletes_the_whole_of_a_training(trained: Training) -> None:
    with trained.claimed(OTHER, resume=False, overwrite=True) as state:
        assert state == "replaced"
        assert files(trained.path).keys() == {MARKER, ".repflow.lock"}
        assert not (trained.path / "checkpoints").exists()
        assert json.loads((trained.path / MARKER).read_text()) == {"status": "running", **OTHER}
    assert files(trained.path).keys() == {MARKER}


@pytest.mark.parametrize("marker", ["{}", '{"status": "finished"}', "[]", "{", '{"lr": 1e-3, "model": "bert"}', ""])
@pytest.mark.parametrize("others", [(), ("thesis.tex",), ("data/raw/a.csv", "model/thesis.tex")])
def test_a_marker_that_says_nothing_gives_nothing_away(tmp_path: Path, marker: str, others: tuple[str, ...]) -> None:
    training = Training(tmp_path / "x")
    write(training.path, *others)
    write(training.path, MARKER)
    (training.path / MARKER).write_text(marker)
    before = files(training.path)
    with (
        pytest.raises(
            StoreConflict, match=r"holds what no training wrote .*nothing is deleted; move it away"
        ) as caught,
        training.claimed(FACTS, resume=False, overwrite=True),
    ):
        pass
    assert MARKER in str(caught.value)
    assert all(name.split("/")[0] in str(caught.value) for name in others)
    assert files(training.path) == before


@pytest.mark.parametrize(
    "name",
    [
        "thesis.tex",
        "model/thesis.tex",
        "model/sub/config.json",
        "snapshots/step-000004/mine.txt",
        "checkpoints/best/model.safetensors",
        "checkpoints/checkpoint-4-backup/model.safetensors",
        "empty/",
        ".git/config",
        "model.safetensors",
    ],
)
def test_one_strange_file_keeps_everything(trained: Training, name: str) -> None:
    if name.endswith("/"):
        (trained.path / name).mkdir()
    else:
        write(trained.path, name)
    before = files(trained.path)
    with (
        pytest.raises(StoreConflict, match="holds what no training wrote") as caught,
        trained.claimed(OTHER, resume=False, overwrite=True),
    ):
        pass
    assert name.split("/")[0] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(trained.path) == before


@pytest.mark.parametrize(
    "place", [".", "model", "snapshots", "checkpoints", "snapshots/step-000004", "model/config.json"]
)
@pytest.mark.parametrize("flags", [{"overwrite": True, "resume": False}, {"overwrite": False, "resume": True}])
def test_nothing_is_deleted_behind_a_link(
    trained: Training, tmp_path: Path, place: str, flags: dict[str, bool]
) -> None:
    trained.mark(FACTS, "running")
    outside = tmp_path / "outside"
    (trained.path / place).resolve().rename(outside)
    (tmp_path / "zoo" / "pythia-tiny" / place if place != "." else trained.path).symlink_to(outside)
    before = files(outside) if outside.is_dir() else outside.read_bytes()
    if flags["resume"] and "/" in place:
        with trained.claimed(FACTS, **flags) as state:
            assert state == "resumed"
    else:
        with pytest.raises(StoreConflict, match=r"is a link|holds what no training"), trained.claimed(FACTS, **flags):
            pass
    assert (files(outside) if outside.is_dir() else outside.read_bytes()) == before


def test_a_strange_checkpoint_is_not_left_to_the_trainer(trained: Training) -> None:
    trained.mark(FACTS, "running")
    write(trained.path, "checkpoints/checkpoint-4/notes.txt")
    with (
        pytest.raises(StoreConflict, match=r"checkpoint-4/notes\.txt"),
        trained.claimed(FACTS, resume=True, overwrite=False),
    ):
        pass


def test_folders_of_other_names_are_no_steps(trained: Training) -> None:
    for name in ("snapshots/step-old", "checkpoints/checkpoint-mine"):
        write(trained.path, f"{name}/x")
    assert list(trained.steps()) == [4]
    assert trained.newest_checkpoint() is None, "none of them is whole"
    assert "checkpoints/checkpoint-mine/x" in files(trained.path)
    assert not (trained.path / "checkpoints" / "checkpoint-12").exists()


def test_killed_while_overwriting_the_old_training_is_not_taken_for_the_new(
    trained: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(folder: Path) -> None:
        (folder / "model" / "config.json").unlink()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("repflow.training.zoo.contents.remove", killed)
        with pytest.raises(Killed), trained.claimed(OTHER, resume=False, overwrite=True):
            pass
    with (
        pytest.raises(StoreConflict, match="holds another training"),
        trained.claimed(FACTS, resume=True, overwrite=False),
    ):
        pass
    with trained.claimed(OTHER, resume=True, overwrite=False) as state:
        assert state == "replaced"
        assert files(trained.path).keys() == {MARKER, ".repflow.lock"}


def test_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe()
    path = tmp_path / "zoo" / "pythia-tiny"
    process = context.Process(target=_held, args=(path, theirs))
    process.start()
    assert ours.recv() == "held"
    for flags in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}):
        with (
            pytest.raises(StoreConflict, match=f"being written by process {process.pid}"),
            Training(path).claimed(FACTS, **flags),
        ):
            pass
    ours.send("enough")
    process.join()
    with Training(path).claimed(FACTS, resume=True, overwrite=False) as state:
        assert state == "resumed"


def _held(path: Path, pipe: Any) -> None:
    with Training(path).claimed(FACTS, resume=False, overwrite=False):
        pipe.send("held")
        pipe.recv()


def test_a_training_that_comes_to_nothing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Exception):
        pass

    def fail(*_: object) -> None:
        raise Wrong

    monkeypatch.setattr(Training, "mark", fail)
    with pytest.raises(Wrong), Training(tmp_path / "a" / "b").claimed(FACTS, resume=False, overwrite=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_broken_marker_says_so(trained: Training) -> None:
    (trained.path / MARKER).write_text("[" * 3_000)
    with pytest.raises(BadFile, match="cannot read"), trained.claimed(FACTS, resume=True, overwrite=False):
        pass


LOCKS: list[tuple[str, Callable[[Path, Path], object]]] = [
    ("a link to a file", lambda lock, mine: lock.symlink_to(mine)),
    ("a link to nothing", lambda lock, mine: lock.symlink_to(mine.with_name("none"))),
    ("another name of a file", lambda lock, mine: lock.hardlink_to(mine)),
    ("somebody's file", lambda lock, mine: lock.write_bytes(mine.read_bytes())),
    ("numbers of another kind", lambda lock, mine: lock.write_text("7" * 100) and mine),
]


@pytest.mark.parametrize(("name", "make"), LOCKS, ids=[name for name, _ in LOCKS])
def test_a_lock_takes_no_other_file_for_itself(tmp_path: Path, name: str, make: Callable[[Path, Path], object]) -> None:
    del name
    mine = tmp_path / "mine.txt"
    mine.write_text("years of work")
    folder = tmp_path / "x"
    folder.mkdir()
    make(folder / ".repflow.lock", mine)
    before = (folder / ".repflow.lock").lstat()
    with pytest.raises(StoreConflict, match=r"\.repflow\.lock is no lock"), locked(folder):
        pass
    assert mine.read_text() == "years of work"
    assert (folder / ".repflow.lock").lstat().st_size == before.st_size
    assert not (tmp_path / "none").exists()
