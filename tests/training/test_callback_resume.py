"""Stopped and resumed, a training leaves the run of one that nobody disturbed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from callback_kit import LAST, STEPS, TASK, At, Stop, flow_callback, fresh, same_rows, steps_of, stop, trainer
from transformers import TrainerCallback

import repflow
from repflow.core import StoreConflict
from repflow.store import Run, open_run
from repflow.store import parts as _parts

SAVING = {"save_strategy": "steps", "save_steps": 2}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def train(folder: Path, others: Sequence[TrainerCallback] = (), resume: str | None = None, **changes) -> None:
    """A training in `folder`, its checkpoints beside its run; `resume` is the name of a checkpoint."""
    options = SAVING | {name: changes.pop(name) for name in ("max_steps",) if name in changes}
    callbacks = [flow_callback(folder / "run", **changes), *others]
    bench = trainer(fresh("gpt_neo"), folder / "t", callbacks, **options)
    bench.train(resume_from_checkpoint=resume and str(folder / "t" / resume))


@pytest.fixture(scope="module")
def whole(_one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    run = open_run(folder / "run")
    assert steps_of(run) == STEPS
    return run


def stopped_at(folder: Path, step: int) -> None:
    with pytest.raises(Stop):
        train(folder, [At([step], stop)])
    with pytest.raises(StoreConflict, match="unfinished train-flow run"):
        open_run(folder / "run")


def part_of_step_8(folder: Path) -> Path:
    (found,) = (folder / "run" / "checkpoint").glob("*000000008.part")
    return found


def is_whole(folder: Path, whole: Run) -> None:
    run = open_run(folder / "run")
    same_rows(run, whole, whole=True)
    assert run.subjects == whole.subjects
    assert run.info["warnings"] == whole.info["warnings"]
    assert not (folder / "run" / "checkpoint").exists()


@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_stopped_training_goes_on(step: int, whole: Run, tmp_path: Path) -> None:
    stopped_at(tmp_path, step)
    train(tmp_path, resume=f"checkpoint-{step - 1}" if step > 1 else None)
    is_whole(tmp_path, whole)


def test_steps_after_the_checkpoint_are_measured_again(whole: Run, tmp_path: Path) -> None:
    """Rows of step 8 stand there when the training goes back to 6; another random state would make others of them."""
    stopped_at(tmp_path, 9)
    part = part_of_step_8(tmp_path)
    kept = part.read_bytes()
    with pytest.raises(Stop):
        train(tmp_path, [At([7], lambda **_: torch.rand(1)), At([9], stop)], resume="checkpoint-6")
    assert part.read_bytes() != kept
    train(tmp_path, resume="checkpoint-6")
    is_whole(tmp_path, whole)


def test_rows_of_a_training_that_came_to_nothing_do_not_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when step 8 is measured again; its rows from before are of other weights."""
    stopped_at(tmp_path, 9)
    write = _parts.write_bytes_atomic

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fill = At([7], lambda **_: monkeypatch.setattr(_parts, "write_bytes_atomic", full))
    free = At([9], lambda **_: monkeypatch.setattr(_parts, "write_bytes_atomic", write))
    with pytest.warns(UserWarning, match="could not be measured at step 8"):
        train(tmp_path, [fill, free], resume="checkpoint-6")
    assert steps_of(open_run(tmp_path / "run")) == [0, 1, 2, 4, 10]


def test_a_step_whose_rows_were_lost_is_measured_from_the_checkpoint(whole: Run, tmp_path: Path) -> None:
    stopped_at(tmp_path, 9)
    part_of_step_8(tmp_path).unlink()
    train(tmp_path, resume="checkpoint-8")
    is_whole(tmp_path, whole)


def test_a_callback_that_came_later_says_which_steps_it_missed(whole: Run, tmp_path: Path) -> None:
    trainer(fresh("gpt_neo"), tmp_path / "t", max_steps=LAST, **SAVING).train()
    train(tmp_path, resume="checkpoint-4")
    run = open_run(tmp_path / "run")
    assert steps_of(run) == [4, 8, 10]
    frame = whole.layers[whole.layers["step"] == 8].reset_index(drop=True)
    assert run.layers[run.layers["step"] == 8].reset_index(drop=True).equals(frame)
    missed = [line for line in run.info["warnings"] if "not measured" in line]
    assert missed == [f"run, step {s}: not measured, training was resumed at step 4 without it" for s in (0, 1, 2)]


def test_a_finished_training_resumed_changes_nothing(tmp_path: Path) -> None:
    train(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    train(tmp_path, resume=f"checkpoint-{LAST}", overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    with pytest.raises(StoreConflict, match=r"holds this run, finished; choose another out, or overwrite=True"):
        train(tmp_path, resume=f"checkpoint-{LAST}", max_steps=LAST + 2)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_training_begun_anew_replaces_the_run_if_told_to(whole: Run, tmp_path: Path) -> None:
    train(tmp_path, max_steps=2)
    assert steps_of(repflow.open(tmp_path / "run")) == [0, 1, 2]
    with pytest.raises(StoreConflict, match="finished"):
        train(tmp_path)
    train(tmp_path, overwrite=True)
    is_whole(tmp_path, whole)


def test_another_evaluation_set_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("So it goes. " * 200)
    task = replace(TASK, text=(str(text),))
    with pytest.raises(Stop):
        train(tmp_path, [At([5], stop)], task=task)
    text.write_text("And so on. " * 200)
    with pytest.raises(StoreConflict, match="run was measured on other examples than these"):
        train(tmp_path, resume="checkpoint-4", task=task)
    train(tmp_path, task=task, overwrite=True)
    fresh_text = tmp_path / "fresh"
    train(fresh_text, task=task)
    same_rows(open_run(tmp_path / "run"), open_run(fresh_text / "run"), whole=True)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
sys.path[:0] = sys.argv[2:]
from callback_kit import At
from test_callback_resume import train
torch.set_num_threads(1)
train(Path(sys.argv[1]), [At([9], lambda **_: os.kill(os.getpid(), signal.SIGKILL))])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_training_goes_on(whole: Run, tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(here), str(here.parent / "kits")],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    train(tmp_path, resume="checkpoint-8")
    is_whole(tmp_path, whole)
