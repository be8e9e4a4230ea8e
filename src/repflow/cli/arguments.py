"""Arguments to settings, with a YAML file underneath and one line for what cannot be read."""

import contextlib
import dataclasses
import difflib
import io
import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tyro

from repflow.cli.help import printed
from repflow.core import BadFile, BadSetting, CallerError, UnknownName, local_path

T = TypeVar("T")
_CONFIG = (tyro.conf.OmitArgPrefixes,)


def parse(kind: type[T], command: str, arguments: Sequence[str], default: T | None = None) -> T:
    """The settings of `kind` that the arguments give; prints the help and exits 0 when asked for it.

    Raises CallerError with one line for arguments that cannot be read.
    """
    if not {"-h", "--help"}.isdisjoint(arguments):
        print(printed(lambda: tyro.cli(kind, prog=f"repflow {command}", args=["--help"], config=_CONFIG)), end="")
        raise SystemExit(0)
    _check_flags(arguments, _flags(kind), command)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options: dict[str, Any] = {} if default is None else {"default": default}
            return tyro.cli(
                kind,
                prog=f"repflow {command}",
                args=list(arguments),
                config=_CONFIG,
                **options,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise CallerError(f"{said_plainly(said.getvalue())}; see repflow {command} --help") from None


def _flags(kind: type[Any]) -> dict[str, bool]:
    """The flags of a settings class and of the classes it holds, both forms of those that are on or off.

    True for those that take a list of values.
    """
    found: dict[str, bool] = {}
    for field in dataclasses.fields(kind):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            found |= _flags(field.type)
        else:
            name, hint = field.name.replace("_", "-"), field.type
            hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
            found[f"--{name}"] = get_origin(hint) is tuple
            if hint is bool:
                found[f"--no-{name}"] = False
    return found


def _check_flags(arguments: Sequence[str], known: Mapping[str, bool], command: str) -> None:
    given = [argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")]
    for flag in given:
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"see repflow {command} --help"
            raise UnknownName(f"unknown option {flag}; {hint}")
        if given.count(flag) > 1:
            raise BadSetting(f"{flag} is given {given.count(flag)} times; give it once, all its values behind it")
        opposite = flag.replace("--", "--no-", 1)
        if opposite in given:
            raise BadSetting(f"{flag} and {opposite} contradict each other; give one of them")
    for argument, following in pairwise([*arguments, "--"]):
        if known.get(argument.replace("_", "-")) and following.startswith("--"):
            raise BadSetting(f"{argument} needs at least one value")


def yaml_settings(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Settings from `--config FILE.yaml`, and the arguments without it. Raises BadFile or BadSetting."""
    given = [argument for argument in arguments if argument == "--config" or argument.startswith("--config=")]
    if len(given) > 1:
        raise BadSetting(f"--config is given {len(given)} times; put all settings in one file")
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
        if os.path.getsize(local_path(path)) > LARGEST_FILE:
            raise BadFile(f"{path}: is larger than {LARGEST_FILE:,} bytes, which no settings are; give another file")
        with local_path(path).open(encoding="utf-8") as file:
            values = yaml.load(file, Loader=_once_loader())
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) if getattr(error, "context", None) == _TWICE else None
        raise BadFile(f"{path}{where}: {reason or 'not valid YAML'}; give `setting: value` lines") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise BadFile(f"{path}: holds no settings; give `setting: value` lines")
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str | int | float | None):
                raise BadFile(f"{path}: {name[:60]} holds a {type(item).__name__}; give one value, or a list of values")
    return values


def _once_loader() -> Any:
    """YAML's safe loader, which lets the last of two like keys win, made to refuse the second."""
    import yaml

    class Once(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                name = str(key.value).replace("-", "_")
                if name in seen:
                    raise yaml.constructor.ConstructorError(_TWICE, None, f"sets {name[:60]} twice", key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep)

    return Once


LONGEST = 300
_TWICE = "a setting given twice"
LARGEST_FILE = 1_000_000


_PLAIN = (
    (r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)", r"\1 needs a whole number, got \2"),
    (r"Error parsing (\S+): could not convert string to float: (.*)", r"\1 needs a number, got \2"),
    (r"Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]", r"\1 cannot be read from \2"),
    (r"Missing value for argument '(\S+)'.*", r"\1 needs a value"),
    (r"invalid choice (.*) for argument '(\S+)'\. Expected one of \((.*?),?\)", r"\2 must be one of \3, got \1"),
    (r"Missing from repflow \w+: (\S+).*", r"an argument is missing, \1"),
    (r"Unrecognized options: (.*)", r"cannot place \1: names come together, before the options"),
)


def said_plainly(box: str) -> str:
    """The message inside tyro's box, without its frame, its title and the help of the argument."""
    rows = [re.sub(r"^[│|]\s?|\s*[│|]$", "", row).strip() for row in box.strip().splitlines()]
    message = ""
    # The first row is the title; in ASCII a rule follows it.
    for row in rows[1:]:
        if not row.strip("-─╭╮╰╯ "):
            if message:
                break
            continue
        message += f" {row}"
    for pattern, plain in _PLAIN:
        message, changed = re.subn(pattern, plain, message)
        if changed:
            break
    told = re.sub(r"\s+", " ", message).strip().rstrip(".:;") or "the arguments cannot be read"
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}..."
