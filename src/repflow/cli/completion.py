"""repflow completion"""

import io
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from repflow.cli import runs, train
from repflow.cli.arguments import parse
from repflow.cli.study import command_of
from repflow.studies.catalogue import STUDIES
from repflow.studies.lab.settings import LabSettings


@dataclass(frozen=True)
class Completion:
    """Print a script that completes commands and options in a shell. It needs Python on the path.

    Example: repflow completion bash > ~/.local/share/bash-completion/completions/repflow

    In zsh write it to a file _repflow in a folder of $fpath, in fish to ~/.config/fish/completions/repflow.fish.
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """The shell."""


def completion(arguments: list[str]) -> int:
    """Print the script."""
    asked = parse(Completion, "completion", arguments)
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        tyro.cli(
            _one_of(_commands()),
            prog="repflow",
            args=["--tyro-write-completion", asked.shell, "-"],
            config=(tyro.conf.OmitArgPrefixes,),
        )
    script = said.getvalue()
    for tyros, ours in _FILES:
        script = script.replace(tyros, ours)
    print(script)
    return 0


_FILES = (
    ("for completion in completions:", "for completion in completions or ['__TYRO_COMPLETE_FILES__']:"),
    ('compgen -f -- "$cur"', 'compgen -f -- "${COMP_WORDS[COMP_CWORD]}"'),
    ("complete -F", "complete -o filenames -F"),
)
"""Where tyro's script offers nothing it shall offer files: run directories and models mostly are."""


def _commands() -> dict[str, Any]:
    """What each command reads."""
    trained = _one_of({"zoo": train.Zoo, "card": train.Card})
    return {
        **{study.name: command_of(study) for study in STUDIES if study.purpose},
        "train": make_dataclass("Train", [("what", trained)]),
        "lab": LabSettings,
        "report": runs.Report,
        "show": runs.Show,
        "compare": runs.Compare,
        "doctor": runs.Doctor,
        "completion": Completion,
    }


def _one_of(commands: dict[str, Any]) -> Any:
    return Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in commands.items())]  # noqa: UP007
