"""States of a shard as one checkpoint part, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from repflow.metrics import Counts, Metric, pack, unpack


def to_part(states: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays named `metric/field`, and each metric's other facts."""
    arrays: dict[str, np.ndarray] = {}
    meta: dict[str, Any] = {}
    for name, state in states.items():
        own, facts = pack(state)
        arrays.update({f"{name}/{field}": array for field, array in own.items()})
        meta[name] = facts
    return arrays, meta


def from_part(metrics: Sequence[Metric], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The states that `to_part` took apart."""
    kinds: dict[str, Any] = {metric.name: metric.state for metric in metrics} | {"counts": Counts}
    return {name: unpack(kind, _under(name, arrays), meta[name]) for name, kind in kinds.items()}


def _under(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
