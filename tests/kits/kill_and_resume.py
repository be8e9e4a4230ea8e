"""Kills runs with SIGKILL and resumes them, many times: `python kill_and_resume.py FOLDER`.

Prints one JSON object. Runs are forked from a process that has imported everything, single-threaded, so that a start
costs milliseconds; a process of its own, so that no thread of a test runner is forked along.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import repflow
from repflow.store import open_run

SUBJECTS = ["config:pythia,layers=2,width=32", "config:mamba2,layers=2,width=32"]
SETTINGS = {
    "task": ["text", "kvpr"],
    "context": 200,
    "examples": 4,
    "calibration": 2,
    "replicates": 40,
    "permutations": 19,
}
PARTS = 20
"""Two subjects, two tasks, four shards of one example and a calibration each."""
MOMENTS = 20
CHAIN = 6
PATIENCE = 30.0


def start(directory: Path) -> int:
    """The process id of a run that begins or resumes in `directory`; it exits 0 when the run is finished."""
    child = os.fork()
    if child:
        return child
    try:
        repflow.flow(SUBJECTS, **SETTINGS, shard=1, out=directory, resume=True)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def ended_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def killed(directory: Path, kept: int, after: float) -> bool:
    """Starts a run and kills it `after` seconds from when `kept` parts are there; whether SIGKILL met it alive.

    By parts, not by the clock alone: how long a run takes depends on what else the machine does.
    """
    child = start(directory)
    deadline = time.monotonic() + PATIENCE
    while parts(directory) < kept and not (directory / "layers.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def parts(directory: Path) -> int:
    return len(list((directory / "checkpoint").glob("*.part")))


def same(one: Path, other: Path) -> bool:
    """Whether two runs hold the same files, with the same bytes in all but run.json and its timings."""
    files = {path.name for path in one.iterdir()}
    if files != {path.name for path in other.iterdir()}:
        return False
    a, b = open_run(one), open_run(other)
    frames = all(getattr(a, name).equals(getattr(b, name)) for name in ("layers", "pairs", "paths"))
    return frames and all((one / n).read_bytes() == (other / n).read_bytes() for n in files - {"run.json"})


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    draw = random.Random(20)
    whole = folder / "whole"
    # The first run imports what is left to import, in the parent, so that the second tells how long one takes.
    repflow.flow(SUBJECTS, **SETTINGS, shard=1, out=folder / "warm")
    begun = time.monotonic()
    assert ended_well(start(whole))
    step = (time.monotonic() - begun) / PARTS
    kills = []
    for moment in range(MOMENTS):
        directory = folder / f"killed-{moment}"
        met = killed(directory, round(moment * PARTS / (MOMENTS - 1)), draw.uniform(0, 1) * step)
        kept = parts(directory)
        finished = ended_well(start(directory))
        kills.append({"met": met, "parts": kept, "same": finished and same(whole, directory)})
    chain = folder / "chain"
    met = sum(killed(chain, (link + 1) * PARTS // (CHAIN + 1), draw.uniform(0, 2) * step) for link in range(CHAIN))
    finished = ended_well(start(chain))
    print(json.dumps({"kills": kills, "chain": {"met": met, "same": finished and same(whole, chain)}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
