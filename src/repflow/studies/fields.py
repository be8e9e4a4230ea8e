"""What settings classes share: flat names to sections and back, and the checks of their values."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from repflow.core import BadSetting, unknown


def sections(groups: Mapping[str, type[Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings classes filled from flat names, as in Python and YAML. A single value stands for a list of one.

    Raises UnknownName for a name that is no setting, BadSetting for a value out of range.
    """
    places = {f.name: (group, f) for group, kind in groups.items() for f in fields(kind)}
    grouped: dict[str, dict[str, Any]] = {group: {} for group in groups}
    for name, value in values.items():
        key = name.replace("-", "_")
        if key not in places:
            raise unknown("setting", name, places)
        group, f = places[key]
        grouped[group][key] = _fit(key, value, f.type)
    return {group: kind(**grouped[group]) for group, kind in groups.items()}


def flat_sections(settings: Any, groups: Mapping[str, type[Any]]) -> dict[str, Any]:
    """The subjects and the settings under their flat names, as run.json keeps them."""
    found: dict[str, Any] = {"subjects": list(settings.subjects)}
    for group in groups:
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
            raise unknown(name, str(value), get_args(hint))
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
    if kind in (str, Path) and isinstance(value, str | Path):
        return kind(value)
    needed = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}[kind]
    raise BadSetting(f"{name} must be {needed}, got {value!r}")


def some_once(name: str, values: Sequence[Any]) -> None:
    """Raises BadSetting for no value at all, and for one given twice."""
    if not values:
        raise BadSetting(f"--{name} needs at least one value")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise BadSetting(f"--{name} names {twice[0]} twice")


def at_least(name: str, value: int, bound: int) -> None:
    """Raises BadSetting for a number below `bound`."""
    if value < bound:
        raise BadSetting(f"--{name} must be at least {bound}, got {value}")
