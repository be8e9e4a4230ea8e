"""JSON as a run directory holds it: UTF-8, no NaN, numpy scalars and dataclasses welcome."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """`value` as JSON types: NaN and infinities become None, tuples lists, sets sorted lists, keys strings, sorted.

    Raises TypeError for what has no such form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | Path):
        return printable(str(value))
    if isinstance(value, Mapping):
        return dict(sorted((_key(key), plain(item)) for key, item in value.items()))
    return [plain(item) for item in _items(value)]


def _items(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else [value.item()]
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return printable(key)
    if isinstance(key, int | np.integer):
        return str(int(key))
    raise TypeError(f"a JSON key must be a string or a whole number, got {key!r}")


def printable(text: str) -> str:
    """`text` with what UTF-8 cannot hold (undecodable bytes of a file name) spelled out; else unchanged."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_bytes(value: Any) -> bytes:
    """Indented UTF-8 JSON. The order of the outermost keys is kept, that of inner ones is alphabetical."""
    outer = {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else plain(value)
    return (json.dumps(outer, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
