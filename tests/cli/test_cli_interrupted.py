"""Ctrl-C and SIGTERM end a run with exit code 130 and the line that finishes it."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_tools import QUICK, TINY

from repflow.cli import main
from repflow.engines import local
from repflow.store import open_run

LONG = ("--examples", "60", "--context", "64", "--calibration", "2", "--shard", "1", "--replicates", "40")


def default_signals() -> None:
    """A test runner started in the background hands down a SIGINT that is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_run_that_the_printed_line_finishes(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "a run"
    command = [sys.executable, "-m", "repflow", "flow", TINY, *LONG, "--no-report", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=default_signals)
    deadline = time.monotonic() + 60
    while len(list((out / "checkpoint").glob("*.part"))) < 5 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    *_, what, line = said.splitlines()
    assert what == f"repflow: interrupted; what is done stays in {out}"
    assert line.startswith("resume with: repflow flow ")
    assert main(shlex.split(line.removeprefix("resume with: "))[1:]) == 0
    assert main(["flow", TINY, *LONG, "--no-report", "--out", str(tmp_path / "whole")]) == 0
    for table in ("layers", "pairs", "paths"):
        pd.testing.assert_frame_equal(getattr(open_run(out), table), getattr(open_run(tmp_path / "whole"), table))


def stop_at(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    measure, seen = local.measure, []

    def stopping(*arguments: Any) -> Any:
        if len(seen) == shards:
            raise KeyboardInterrupt
        seen.append(1)
        return measure(*arguments)

    monkeypatch.setattr(local, "measure", stopping)


def test_the_line_names_the_directory_that_repflow_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        assert main(["flow", TINY, *QUICK, "--shard", "2"]) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    (directory,) = (tmp_path / "runs").iterdir()
    assert f"--out runs/{directory.name} --resume" in line
    assert main(shlex.split(line)[3:]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [directory.name]
    assert open_run(directory).settings["examples"] == 6


def test_an_overwriting_run_is_resumed_not_begun_again(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["flow", TINY, *QUICK, "--shard", "2", "--out", str(out)]
    assert main(arguments) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        assert main([*arguments, "--seed", "4", "--overwrite"]) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert "--overwrite" not in line
    assert main(shlex.split(line)[3:]) == 0
    assert open_run(out).settings["seed"] == 4


def test_interrupted_before_anything_is_measured(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["flow", TINY, "--out", str(out), "--examples", "6", "--context", "48", "--calibration", "0"]
    with monkeypatch.context() as patch:
        stop_at(patch, 0)
        assert main([*arguments, "--no-report"]) == 130
    assert not out.parent.exists()
    line = capsys.readouterr().err.splitlines()[-1]
    assert main(shlex.split(line)[3:]) == 0


def test_the_handler_of_sigterm_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
