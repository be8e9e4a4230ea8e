"""Bootstrap replicates beside the tables: what a paired interval of a difference needs."""

from pathlib import Path
from typing import Any

import numpy as np

from repflow.core import BadFile

_LINES = ".lines"
"""Ends the name of the lines of a table that have replicates, where not all of them do."""


def replicate_bytes(replicates: dict[str, np.ndarray], rows: dict[str, int]) -> bytes:
    """A safetensors file of float32 arrays [rows of the table, B]; lines that are NaN throughout take no room.

    Raises ValueError for an array that does not fit.
    """
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    for name in sorted(replicates):
        array = np.asarray(replicates[name], dtype=np.float32)
        if name not in rows:
            raise ValueError(f"replicates of {name!r}; known tables: {', '.join(sorted(rows))}")
        if array.ndim != 2 or array.shape[0] != rows[name]:
            raise ValueError(f"replicates of {name!r} are {array.shape}, the table has {rows[name]} rows")
        arrays |= _packed(name, array)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _packed(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    held = np.flatnonzero(~np.isnan(array).all(axis=1))
    if len(held) == len(array):
        return {name: array}
    return {name: array[held], name + _LINES: held.astype(np.int32)}


def read_replicates(path: Path, data: bytes | None, rows: dict[str, int]) -> dict[str, np.ndarray]:
    """Table name -> replicates [rows, B], NaN in lines that have none; empty when the run kept none.

    Raises BadFile for a broken file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if data is None:
        return {}
    try:
        arrays: dict[str, Any] = load(data)
        arrays = {name: _whole(arrays, name, rows) for name in arrays if not name.endswith(_LINES)}
    except (SafetensorError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BadFile(f"{path} is broken ({error}); delete it, or run again with --overwrite") from error
    for name, array in arrays.items():
        if name in rows and array.shape[:1] != (rows[name],):
            raise BadFile(f"{path} does not fit {name}.parquet ({len(array)} against {rows[name]} rows); delete it")
    return arrays


def _whole(arrays: dict[str, Any], name: str, rows: dict[str, int]) -> np.ndarray:
    lines = arrays.get(name + _LINES)
    if lines is None or name not in rows:
        return arrays[name]
    whole = np.full((rows[name], arrays[name].shape[1]), np.nan, dtype=np.float32)
    whole[lines] = arrays[name]
    return whole
