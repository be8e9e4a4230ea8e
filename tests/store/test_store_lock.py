"""One writer at a time."""

import errno
import fcntl
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from store_runs import create, finish, names, part_of, parts

from repflow.core import StoreConflict
from repflow.store import lock as _lock
from repflow.store.lock import DirectoryLock


def test_two_writers_of_one_directory(tmp_path: Path) -> None:
    with create(tmp_path) as first:
        with pytest.raises(StoreConflict, match=f"being written by process {os.getpid()};"):
            create(tmp_path)
        first.save_part("a", {}, {})
        with pytest.raises(StoreConflict, match="being written by process"):
            create(tmp_path, resume=True)
    with create(tmp_path, resume=True) as second:
        assert parts(second) == ["a"]
    with pytest.raises(RuntimeError, match="closed"):
        first.save_part("b", {}, {})
    assert ".repflow.lock" not in names(tmp_path)


HOLD = """
import sys, time
from repflow.store import RunWriter
with RunWriter.create(sys.argv[1], {"context": 128}, "flow"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(StoreConflict, match=f"process {process.pid};"):
            create(tmp_path)
        process.kill()
    with create(tmp_path) as writer:
        finish(writer)
    assert ".repflow.lock" not in names(tmp_path)


def _take(directory: Path, turns: int, out: Any) -> None:
    taken = 0
    while taken < turns:
        try:
            writer = create(directory, {"context": 1}, resume=True)
        except StoreConflict:
            continue
        with writer:
            part = writer.read_part("n")
            count = part[1]["n"] if part else 0
            writer.save_part("n", {}, {"n": count + 1})
        taken += 1
    out.put(taken)


def test_writers_in_a_race_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    workers = [context.Process(target=_take, args=(tmp_path, 15, out)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [out.get(timeout=60) for _ in workers] == [15, 15]
    for worker in workers:
        worker.join()
    with create(tmp_path, {"context": 1}, resume=True) as writer:
        assert part_of(writer, "n")[1] == {"n": 30}


def test_a_lock_on_a_deleted_file_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, deleted = _lock._lock, []

    def deleted_meanwhile(descriptor: int, path: Path) -> None:
        if not deleted:
            path.unlink()
            deleted.append(path)
        lock(descriptor, path)

    monkeypatch.setattr(_lock, "_lock", deleted_meanwhile)
    held = DirectoryLock.acquire(tmp_path)
    assert deleted
    with pytest.raises(StoreConflict, match="being written"):
        DirectoryLock.acquire(tmp_path)
    held.release()
    held.release()
    DirectoryLock.acquire(tmp_path).release()


def test_what_another_writer_did_before_the_lock_was_ours_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = DirectoryLock.acquire

    def after_another(directory: Path) -> DirectoryLock:
        monkeypatch.setattr(DirectoryLock, "acquire", acquire)
        with create(directory) as other:
            finish(other)
        return acquire(directory)

    for flags in ({"resume": True}, {}):
        directory = tmp_path / str(len(flags))
        monkeypatch.setattr(DirectoryLock, "acquire", after_another)
        if flags:
            with create(directory, **flags) as writer:
                assert writer.finished
        else:
            with pytest.raises(StoreConflict, match="holds a finished run"):
                create(directory)
        assert ".repflow.lock" not in names(directory)


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.warns(UserWarning, match="has no locks; keep other writers away"):
        writer = create(tmp_path)
    with writer:
        finish(writer)
