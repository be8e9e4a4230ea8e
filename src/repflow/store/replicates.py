"""Bootstrap replicates beside the tables: what a paired interval of a difference needs."""

from pathlib import Path
from typing import Any

import numpy as np

from repflow.core import BadFile


def replicate_bytes(replicates: dict[str, np.ndarray], rows: dict[str, int]) -> bytes:
    """A safetensors file of float32 arrays [rows of the table, B]. Raises ValueError for one that does not fit."""
    from safetensors.numpy import save

    for name, array in replicates.items():
        if name not in rows:
            raise ValueError(f"replicates of {name!r}; known tables: {', '.join(sorted(rows))}")
        if array.ndim != 2 or array.shape[0] != rows[name]:
            raise ValueError(f"replicates of {name!r} are {array.shape}, the table has {rows[name]} rows")
    return save({name: np.asarray(replicates[name], dtype=np.float32, order="C") for name in sorted(replicates)})


def read_replicates(path: Path, data: bytes | None, rows: dict[str, int]) -> dict[str, np.ndarray]:
    """Table name -> replicates [rows, B]; empty when the run kept none. Raises BadFile for a broken file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if data is None:
        return {}
    try:
        arrays: dict[str, Any] = load(data)
    except (SafetensorError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BadFile(f"{path} is broken ({error}); delete it, or run again with --overwrite") from error
    for name, array in arrays.items():
        if name in rows and array.shape[:1] != (rows[name],):
            raise BadFile(f"{path} does not fit {name}.parquet ({len(array)} against {rows[name]} rows); delete it")
    return arrays
