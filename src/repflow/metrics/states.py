"""States of metrics: frozen dataclasses of tensors and counts that merge, pack and unpack alike."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from repflow.metrics.tensors import as_tensor


@runtime_checkable
class State(Protocol):
    """`merge` is associative and the state of no examples is its identity."""

    def merge(self, other: Any) -> Any: ...


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Means:
    """Bootstrap-weighted sums of per-example values in an array of cells; r = 1 + replicates."""

    total: Float64[Tensor, "*cells r"]
    weight: Float64[Tensor, "*cells r"]
    count: Int64[Tensor, "*cells"]
    """Examples with a defined value."""

    def merge(self, other: "Means") -> "Means":
        return Means(self.total + other.total, self.weight + other.weight, self.count + other.count)

    def value(self) -> Float64[Tensor, "*cells r"]:
        """Mean over examples: the estimate in column 0, its replicates behind it; NaN where nothing weighs."""
        return torch.where(self.weight > 0, self.total / self.weight, torch.nan)


def observe_means(values: Float64[Tensor, "*cells n"], weights: Float64[Tensor, "n r"]) -> Means:
    """The state of one batch; an example whose value is NaN does not count in that cell."""
    defined = torch.isfinite(values)
    filled = torch.where(defined, values, 0.0)
    return Means(filled @ weights, defined.double() @ weights, defined.sum(-1))


def observe_shares(
    parts: Float64[Tensor, "*cells n"], wholes: Float64[Tensor, "*wider n"], weights: Float64[Tensor, "n r"]
) -> Means:
    """The state of one batch of a ratio of sums: each example weighs as much as its whole."""
    defined = torch.isfinite(parts) & torch.isfinite(wholes)
    part, whole = torch.where(defined, parts, 0.0), torch.where(defined, wholes, 0.0)
    return Means(part @ weights, whole @ weights, defined.sum(-1))


def pack(state: State) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A state as named arrays and JSON-able facts, for storing or shipping."""
    assert is_dataclass(state)
    arrays: dict[str, np.ndarray] = {}
    meta: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, Tensor):
            arrays[field.name] = value.cpu().contiguous().numpy()
        else:
            meta[field.name] = value
    return arrays, meta


def unpack(kind: type[S], arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> S:
    """The state that `pack` took apart."""
    tensors = {name: as_tensor(np.array(array)) for name, array in arrays.items()}
    facts = {name: _tuples(value) for name, value in meta.items()}
    return kind(**tensors, **facts)


def _tuples(value: Any) -> Any:
    """JSON has lists where states have tuples."""
    return tuple(map(_tuples, cast("list[Any]", value))) if isinstance(value, list) else value
