"""What run.json may say: the types of what is read from it, whoever wrote it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repflow.core import BadFile
from repflow.store.layout import is_table_name

Fits = Callable[[Any], bool]


def check_info(info: Mapping[str, Any], path: Path) -> None:
    """Raises BadFile that names the first entry of another type than a run has. Entries not known here are free."""
    _check(info, _INFO, "", path)
    for name, known in (("subjects", _SUBJECT), ("tasks", _TASK)):
        for place, entry in enumerate(info.get(name) or ()):
            _check(entry, known, f"{name}[{place}].", path)


def _check(entry: Mapping[str, Any], known: Mapping[str, tuple[str, Fits]], where: str, path: Path) -> None:
    for name, (needed, fits) in known.items():
        if name in entry and not fits(entry[name]):
            raise BadFile(
                f"{path} is broken: {where}{name} must be {needed}, got {_shown(entry[name])}; run the study again in "
                "another --out"
            )


def _shown(value: Any) -> str:
    """Scalars as they are, cut short; of anything else its type."""
    return repr(value)[:60] if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(fits: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _optional(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


def _are_timings(value: Any) -> bool:
    """Seconds, and objects of seconds by subject."""
    if not isinstance(value, dict):
        return False
    return all((isinstance(v, dict) and all(map(_is_number, v.values()))) or _is_number(v) for v in value.values())


_TEXT = "a text", _is_text
_TEXTS = "a list of texts", _optional(_list_of(_is_text))
_OBJECTS = "a list of objects", _optional(_list_of(_is_object))
_INFO: dict[str, tuple[str, Fits]] = {
    "status": ("running or finished", lambda value: value in ("running", "finished")),
    "command": _TEXT,
    "settings": ("an object", _is_object),
    "tables": ("a list of tables' names", _list_of(is_table_name)),
    "subjects": _OBJECTS,
    "tasks": _OBJECTS,
    "warnings": _TEXTS,
    "timings": ("numbers, by subject or alone", _optional(_are_timings)),
    "versions": ("an object", _optional(_is_object)),
}
_SUBJECT: dict[str, tuple[str, Fits]] = {
    "label": _TEXT,
    "variant_of": ("a text", _optional(_is_text)),
    "baseline_of": ("a text", _optional(_is_text)),
    "reinitialised": _TEXTS,
    "interventions": _TEXTS,
    "warnings": _TEXTS,
    "steps": ("a list of whole numbers", _optional(_list_of(_is_whole))),
    "weights_sha256_of_steps": _TEXTS,
}
_TASK: dict[str, tuple[str, Fits]] = {
    "name": _TEXT,
    "subject": ("a text", _optional(_is_text)),
    "context": ("a whole number", _optional(_is_whole)),
    "examples_sha256": ("a text", _optional(_is_text)),
}
