"""What settings classes share: flat names to sections and back, and the checks of their values."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from numbers import Integral
from pathlib import Path
from types import NoneType
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from repflow.core import BadSetting, unknown

LARGEST_SEED = 2**62
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def groups(kind: Any) -> dict[str, type[Any]]:
    """The sections of a settings class: its fields that are settings classes themselves."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind) if is_dataclass(hints[f.name])}


def from_flat(kind: Callable[..., S], subjects: tuple[str, ...], values: Mapping[str, Any]) -> S:
    """Settings from flat names, as in Python and YAML. A single value stands for a list of one.

    Raises UnknownName for a name that is no setting, BadSetting for a value out of range.
    """
    found = groups(kind)
    places = {f.name: (group, f) for group, section in found.items() for f in fields(section)}
    grouped: dict[str, dict[str, Any]] = {group: {} for group in found}
    for name, value in values.items():
        key = name.replace("-", "_")
        if key not in places:
            raise unknown("setting", name[:60], places)
        group, f = places[key]
        grouped[group][key] = _fit(key, value, f.type)
    standard: Any = kind()
    return kind(subjects, **{group: replace(getattr(standard, group), **grouped[group]) for group in found})


def flat(settings: Any) -> dict[str, Any]:
    """The subjects and the settings under their flat names, as run.json keeps them."""
    found: dict[str, Any] = {"subjects": list(settings.subjects)}
    for group in groups(type(settings)):
        section = getattr(settings, group)
        found |= {f.name: getattr(section, f.name) for f in fields(section)}
    return {name: str(v) if isinstance(v, Path) else v for name, v in found.items()}


def _fit(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint` asks for: a Literal, a tuple, or a plain type, perhaps `| None`."""
    if get_origin(hint) is tuple:
        items = tuple(value) if isinstance(value, list | tuple) else (value,)
        return tuple(_scalar(name, item, get_args(hint)[0]) for item in items)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise unknown(name, str(value)[:60], get_args(hint))
        return value
    options = get_args(hint) or (hint,)
    if value is None and NoneType in options:
        return None
    return _scalar(name, value, options[0])


def _scalar(name: str, value: Any, kind: type) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if kind in (str, Path) and isinstance(value, str | Path) and "\0" not in str(value):
        return kind(value)
    needed = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}[kind]
    raise BadSetting(f"{name} must be {needed}, got {shortened(value)}")


def some_once(name: str, values: Sequence[Any]) -> None:
    """Raises BadSetting for no value at all, and for one given twice."""
    if not values:
        raise BadSetting(f"--{name} needs at least one value")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise BadSetting(f"--{name} names {twice[0]} twice")


_MOST = {
    "examples": 10**7,
    "context": 2**24,
    "items": 10**6,
    "positions": 10**4,
    "new-tokens": 10**5,
    "seed": LARGEST_SEED,
    "seeds": 1000,
    "replicates": 10**4,
    "permutations": 10**5,
    "calibration": 10**5,
    "gram-tokens": 2**16,
    "influence-tokens": 10**4,
    "directions": 10**4,
    "max-distance": 2**24,
    "windows": 2**24,
    "batch-tokens": 2**31,
    "shard": 10**7,
}
"""The largest values that settings can have: beyond them memory or time runs out before anything is measured."""


def at_least(name: str, value: int, bound: int) -> None:
    """Raises BadSetting for a number below `bound`, and for one beyond what the setting can be."""
    if value < bound:
        raise BadSetting(f"--{name} must be at least {bound}, got {shortened(value)}")
    most = _MOST.get(name, 10**6)
    if value > most:
        raise BadSetting(f"--{name} must be at most {most}, got {shortened(value)}")


def shortened(value: object) -> str:
    """A value as it is told in one line, however long it is."""
    text = (
        f"about 10^{len(bin(value)) * 3 // 10}" if isinstance(value, int) and value.bit_length() > 4096 else repr(value)
    )
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def named(subjects: object) -> tuple[str, ...]:
    """Subjects given as one name or a list of names. Raises BadSetting for anything else."""
    given = (subjects,) if isinstance(subjects, str) else subjects
    if not isinstance(given, Sequence) or not all(isinstance(subject, str) for subject in given):
        raise BadSetting(f"subjects must be a list of names, got {subjects!r}")
    return tuple(given)


def told(call: Callable[P, R]) -> Callable[P, R]:
    """The same function, which answers a setting that it has not with the name of the nearest one it has."""

    @functools.wraps(call)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        known = inspect.signature(call).parameters
        for name in kwargs:
            if name not in known:
                raise unknown("setting", name[:60], known)
        return call(*args, **kwargs)

    return checked
