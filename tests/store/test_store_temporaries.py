"""What a killed writer left is cleaned by the next one; what another is writing is not."""

import multiprocessing
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from store_runs import create, finish, finished, names, unfinished

from repflow.report import write_figures, write_report
from repflow.store import open_run, replacing, write_file

KILLED = """
import os, signal, sys
from pathlib import Path
from repflow.store import replacing
for folder in sys.argv[1:]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    context = replacing(Path(folder) / "report.html")
    context.__enter__().write(b"half a page")
    held = globals().setdefault("held", [])
    held.append(context)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in(*folders: Path) -> None:
    """A process is killed while it writes a file into each of the folders."""
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, folders)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(left(folder) for folder in folders)


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".repflow-*") if path.name != ".repflow.lock"]


def test_a_report_killed_half_way_is_cleaned_by_the_next(tmp_path: Path) -> None:
    run = open_run(finished(tmp_path / "r"))
    elsewhere = tmp_path / "elsewhere"
    killed_in(run.directory, run.directory / "figures", elsewhere)
    assert open_run(run.directory).report is None, "half a page is no report"
    write_report(run)
    write_report(run, elsewhere / "page.html")
    write_figures(run, ("svg",))
    assert left(tmp_path) == []
    assert names(elsewhere) == {"page.html"}


@pytest.mark.parametrize("flags", [{"resume": True}, {"overwrite": True}])
def test_a_run_cleans_all_its_folders(tmp_path: Path, flags: dict[str, bool]) -> None:
    directory = unfinished(tmp_path / "r")
    killed_in(directory, *(directory / name for name in ("checkpoint", "features", "figures")))
    with create(directory, **flags) as writer:
        finish(writer)
    assert left(directory) == []
    assert {"checkpoint", "features"}.isdisjoint(names(directory))


def test_only_temporaries_of_repflow_go(tmp_path: Path) -> None:
    mine = [".repflow-notes.tmp", ".repflow-1-2.tmp.bak", "x.repflow-1-2.tmp", ".repflow-1-2.tmpx", "a.tmp"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".repflow-3-4.tmp").symlink_to(tmp_path / "a.tmp")
    (tmp_path / ".repflow-5-6.tmp").mkdir()
    write_file(tmp_path / "x", b"x")
    assert names(tmp_path) == {"x", ".repflow-3-4.tmp", ".repflow-5-6.tmp", *mine}


def _writing(path: Path, pipe: Connection) -> None:
    with replacing(path) as stream:
        stream.write(b"whole")
        pipe.send("begun")
        pipe.recv()


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe()
    process = context.Process(target=_writing, args=(tmp_path / "slow", theirs))
    process.start()
    assert ours.recv() == "begun"
    write_file(tmp_path / "quick", b"quick")
    assert len(left(tmp_path)) == 1
    ours.send("go on")
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "slow").read_bytes() == b"whole"
    assert left(tmp_path) == []


def test_a_temporary_taken_for_dead_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from repflow.store import temporary as _temporary

    lock, seen = _temporary.lock, []

    def late(descriptor: int) -> None:
        if not seen:
            seen.append(descriptor)
            for path in tmp_path.glob(".repflow-*"):
                path.unlink()
        lock(descriptor)

    monkeypatch.setattr(_temporary, "lock", late)
    write_file(tmp_path / "x", b"x")
    assert names(tmp_path) == {"x"}
    assert (tmp_path / "x").read_bytes() == b"x"
