"""What the benchmarks share: the subject, its examples, medians, memory."""

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from repflow.core import Example
from repflow.engines import Reader
from repflow.engines.shard import calibrate
from repflow.metrics import DEFAULT, Calibration, Options, named
from repflow.models import load
from repflow.tasks import make_task

SUBJECT = "zoo:smollm2-135m"
METRICS = named(DEFAULT)
OPTIONS = Options()


def arguments(description: str, rounds: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--subject", default=SUBJECT)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--examples", type=int, default=1)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def subject(args: argparse.Namespace) -> tuple[Reader, list[Example], Calibration]:
    """The reader, the examples to measure and the calibration from others."""
    loaded = load(args.subject, dtype=args.dtype, device=args.device)
    built = make_task("text").build(loaded.tokenizer, n=args.examples + 2, context=args.tokens, seed=0)
    reader = Reader(
        label=loaded.facts.label,
        model=loaded.model,
        forward=loaded.forward,
        taps=loaded.taps,
        special_ids=tuple(loaded.tokenizer.all_special_ids),
        device=loaded.device,
        batch_tokens=args.tokens,
    )
    examples, spare = built[: args.examples], built[args.examples :]
    if len(examples) < args.examples or not spare:
        sys.exit(
            f"the built-in text gives {len(built)} examples of {args.tokens} tokens, {args.examples + 2} are needed"
        )
    return reader, examples, calibrate(reader, spare, OPTIONS)[0]


def synchronise(reader: Reader) -> None:
    if reader.device.type == "cuda":
        torch.cuda.synchronize()


def spread(values: Sequence[float]) -> str:
    """Median and the range of the middle half."""
    low, _, high = statistics.quantiles(values, n=4)
    return f"{statistics.median(values):.3f} (quartiles {low:.3f} to {high:.3f})"


def extra_mib(work: Callable[[], None]) -> float:
    """How far memory rises above where it stood while `work` runs: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # what loading and calibrating freed would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """A line of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def in_own_process(script: str, only: str, *extra: str) -> float:
    """The last line that one variant of a benchmark prints in a process of its own: its extra memory in MiB."""
    command = [sys.executable, script, "--only", only, *extra]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])
