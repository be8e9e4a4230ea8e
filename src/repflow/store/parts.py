"""Checkpoint parts: named states of metrics, each one file that is whole or absent."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from repflow.store.atomic import write_bytes_atomic
from repflow.store.layout import PART_SUFFIX
from repflow.store.seal import regular_bytes

_MAGIC = b"RFPART1\n"
_DIGEST_BYTES = 32
_LONGEST_NAME = 160


def part_path(folder: Path, key: str) -> Path:
    """The file of `key`: any string makes a safe, distinct name."""
    name = quote(key, safe="", errors="surrogatepass")
    if not name or len(name) > _LONGEST_NAME:
        name = f"{name[:80]}~{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return folder / (name + PART_SUFFIX)


def write_part(folder: Path, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Raises OSError, TypeError for a meta without JSON form, ValueError for an array of a type that cannot be kept."""
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"part {key!r}: array {name!r} has dtype {array.dtype}, which a part cannot hold")
    # ascontiguousarray would turn a number into a row of one.
    ordered = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    payload = save(ordered, metadata={"key": json.dumps(key), "meta": json.dumps(meta, default=_scalar)})
    folder.mkdir(exist_ok=True)
    write_bytes_atomic(part_path(folder, key), _MAGIC + hashlib.sha256(payload).digest() + payload)


def read_part(folder: Path, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and the meta of a part, or None where there is none; a torn or foreign file is deleted."""
    from safetensors.numpy import load

    path = part_path(folder, key)
    payload = _payload(path)
    if payload is None:
        return None
    metadata = _metadata(payload)
    if json.loads(metadata["key"]) != key:
        path.unlink(missing_ok=True)
        return None
    return load(payload), json.loads(metadata["meta"])


def _payload(path: Path) -> bytes | None:
    if not path.exists() and not path.is_symlink():
        return None
    data = regular_bytes(path)
    start = len(_MAGIC) + _DIGEST_BYTES
    payload = data[start:]
    if data[:start] == _MAGIC + hashlib.sha256(payload).digest():
        return payload
    path.unlink(missing_ok=True)
    return None


def _metadata(payload: bytes) -> dict[str, str]:
    size = int.from_bytes(payload[:8], "little")
    return json.loads(payload[8 : 8 + size])["__metadata__"]


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")


def count_parts(folder: Path) -> int:
    """How many parts are there, whole or not."""
    return sum(1 for _ in folder.glob(f"*{PART_SUFFIX}"))
