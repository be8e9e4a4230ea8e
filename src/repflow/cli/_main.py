"""Entry point: finds the command, turns errors into one line and an exit code."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType

from repflow._version import __version__
from repflow.cli.tell import say
from repflow.core import Interrupted, RepflowError, local_path, unknown
from repflow.studies import catalogue

OTHERS = {
    "train": "train the small models that come with repflow, or measure what models reached",
    "lab": "train a grid of small models, and measure how each homogenises and retrieves",
    "report": "write the HTML report and the figures of a run",
    "show": "print a run's main numbers",
    "compare": "set two runs side by side",
    "doctor": "say what this machine can run, and how fast",
    "completion": "print a script that completes commands and options in bash, zsh or fish",
}
"""Commands that run no study."""
FIRST = {
    "flow": "repflow flow zoo:mamba-tiny zoo:pythia-tiny --context 256 --out runs/tiny",
    "probe": "repflow probe zoo:mamba-tiny --context 256 --out runs/probe",
    "show": "repflow show runs/tiny",
    "report": "repflow report runs/tiny --figures",
}
"""The commands one needs first, with an example each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 when done, 2 for the caller's mistake, 130 when interrupted, 1 for anything else."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with _ended_like_ctrl_c():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        return _dispatch(arguments)
    except SystemExit as stop:
        if stop.code:
            raise
        return 0
    except Interrupted as stop:
        say(f"repflow: {stop}")
        say(f"resume with: {_resume_line(arguments, stop.directory)}")
        return stop.exit_code
    except RepflowError as error:
        say(f"repflow: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("repflow: interrupted")
        say(f"run again with: {_again(arguments)}")
        return Interrupted.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"repflow {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in _commands():
        raise unknown("command", name, _commands())
    return _command(name)(rest)


def _command(name: str) -> Callable[[list[str]], int]:
    if name == "train":
        from repflow.cli.train import train

        return train
    if name == "lab":
        from repflow.cli.lab import lab

        return lab
    if name == "completion":
        from repflow.cli.completion import completion

        return completion
    if name in OTHERS:
        from repflow.cli import runs

        return getattr(runs, name)
    from repflow.cli.study import run_study

    return partial(run_study, catalogue.study(name))


def _commands() -> dict[str, str]:
    return {study.name: study.purpose for study in catalogue.STUDIES if study.purpose} | OTHERS


def _usage() -> str:
    known = _commands()
    first = [line for name, example in FIRST.items() for line in (f"  {name:10s}  {known[name]}", f"{'':14s}{example}")]
    others = [f"  {name:10s}  {what}" for name, what in known.items() if name not in FIRST]
    return "\n".join(
        [
            "usage: repflow COMMAND ...",
            "",
            "How representations flow through the depth of Transformers, state-space models and hybrids.",
            "",
            "First:",
            *first,
            "",
            "Then:",
            *others,
            "",
            "repflow COMMAND --help says more, with an example; repflow --version says which this is.",
        ]
    )


def _again(arguments: list[str]) -> str:
    """The line that does what was asked, or goes on with it where its run directory is there already."""
    given = [second for first, second in pairwise(arguments) if first == "--out"]
    given += [argument.removeprefix("--out=") for argument in arguments if argument.startswith("--out=")]
    if given and given[0] and local_path(given[0]).is_dir():
        return _resume_line(arguments, given[0])
    return f"repflow {shlex.join(arguments)}"


def _resume_line(arguments: list[str], directory: str) -> str:
    kept = [argument for argument in arguments if argument not in ("--overwrite", "--resume")]
    if not any(argument == "--out" or argument.startswith("--out=") for argument in kept):
        kept += ["--out", _near(directory)]
    return f"repflow {shlex.join(kept)} --resume"


def _near(directory: str) -> str:
    """A path as one would type it here."""
    with suppress(OSError, ValueError):
        return str(Path(directory).relative_to(Path.cwd()))
    return directory


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Within, SIGTERM ends a run like Ctrl-C does: what is done stays, and can be resumed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise KeyboardInterrupt
