"""Arguments to settings, with a YAML file underneath and one line for what cannot be read."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from repflow.core import BadFile, BadSetting, CallerError

T = TypeVar("T")


def parse(kind: type[T], command: str, arguments: Sequence[str], default: T | None = None) -> T:
    """The settings of `kind` that the arguments give; prints the help and exits 0 when asked for it.

    Raises CallerError with one line for arguments that cannot be read.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options: dict[str, Any] = {} if default is None else {"default": default}
            return tyro.cli(
                kind,
                prog=f"repflow {command}",
                args=list(arguments),
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
                **options,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise CallerError(f"{_one_line(said.getvalue())}; see repflow {command} --help") from None


def yaml_settings(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Settings from `--config FILE.yaml`, and the arguments without it. Raises BadFile or BadSetting."""
    for place, argument in enumerate(arguments):
        if argument == "--config":
            if place + 1 == len(arguments):
                raise BadSetting("--config needs a YAML file")
            return _read_yaml(arguments[place + 1]), arguments[:place] + arguments[place + 2 :]
        if argument.startswith("--config="):
            return _read_yaml(argument.removeprefix("--config=")), arguments[:place] + arguments[place + 1 :]
    return {}, arguments


def _read_yaml(path: str) -> dict[str, Any]:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.safe_load(file)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise BadFile(f"{path}{where}: not valid YAML; give `setting: value` lines") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise BadFile(f"{path}: holds no settings; give `setting: value` lines")
    return values


def _one_line(box: str) -> str:
    """The message inside tyro's box, without the help of the argument."""
    lines = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip() for line in box.splitlines()]
    message: list[str] = []
    for line in lines:
        if line.startswith(("╭", "╰")):
            continue
        if line.startswith(("─", "Argument helptext", "For full helptext")) and not message:
            continue
        if line.startswith(("Argument helptext", "For full helptext")):
            break
        if line and not line.startswith("─"):
            message.append(line)
    text = " ".join(message[:4]) or "the arguments cannot be read"
    return re.sub(r"\s+", " ", text).rstrip(".:;")
