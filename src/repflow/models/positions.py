"""How many positions a model was trained on, and which lengths may share a batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from repflow.core import Tap
from repflow.models.observing import Observed

_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_sequence_length",
    "max_seq_len",
    "max_target_positions",
    "seq_length",
)
_STATIC = frozenset({"default", "linear", "yarn", "llama3", "proportional", "ntk_alpha", "mrope"})
"""Rotary embeddings whose frequencies are the same for every length."""
_ORIGINAL = "original_max_position_embeddings"


@dataclass(frozen=True, slots=True)
class Lengths:
    """Which rows may share a batch, where a model's frequencies depend on the longest row of it."""

    borders: tuple[int, ...] = ()
    """Lengths up to a border and lengths beyond it are read in other ways."""
    each: bool = False
    """Beyond the first border every length is read in its own way."""

    def key(self, length: int) -> tuple[int, int]:
        """Rows of equal keys may share a batch."""
        passed = sum(length > border for border in self.borders)
        return passed, length if self.each and passed else 0


ALIKE = Lengths()
"""All lengths may share a batch."""
APART = Lengths((0,), each=True)
"""Only rows of one length may."""


def trained_positions(
    model: nn.Module, taps: tuple[Tap, ...], mixers: tuple[str, ...], observed: Observed
) -> int | None:
    """The positions a model was trained on: what its config says, at most what a learned position embedding holds.

    The config is that of the part which holds the blocks, so that a vision tower's does not count. None where nothing
    in the model attends or is learnt by position: a recurrence has no such limit.
    """
    if observed.positions is None and not any("attention" in mixer.split("+") for mixer in mixers if mixer):
        return None
    said = next((n for config in _configs(model, taps) if (n := _said(config)) is not None), None)
    known = [n for n in (said, observed.positions) if n is not None]
    return min(known, default=None)


def lengths_of(model: nn.Module) -> Lengths:
    """How what a model makes of a row depends on the longest of the batch, by its configs.

    Longrope has one set of frequencies up to a border and one beyond it; dynamic NTK, beyond the trained positions, one
    for every length. Attention to the best-scoring keys (`index_topk`) chooses among equals by how many keys there are.
    """
    configs = {id(config): config for m in model.modules() if (config := getattr(m, "config", None)) is not None}
    if any(isinstance(getattr(config, "index_topk", None), int) for config in configs.values()):
        return APART
    found = [pair for config in configs.values() for pair in _by_length(config)]
    return Lengths(tuple(sorted({border for _, border in found})), any("dynamic" in kind for kind, _ in found))


@contextmanager
def fresh_rotary(model: nn.Module) -> Iterator[None]:
    """Within, dynamic rotary embeddings begin as in a model that has read nothing; afterwards they are as they were.

    They remember the longest row they have read, and read shorter ones by it.
    """
    remembering = [module for module in model.modules() if _remembers(module)]
    kept = [(module, dict(module.__dict__), dict(module._buffers)) for module in remembering]
    for module in remembering:
        _forget(module)
    try:
        yield
    finally:
        for module, attributes, buffers in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)


def _configs(model: nn.Module, taps: tuple[Tap, ...]) -> Iterator[Any]:
    """The configs of the parts that hold the blocks, the innermost first."""
    parts = taps[0].module.split(".")
    for depth in range(len(parts), -1, -1):
        config = getattr(model.get_submodule(".".join(parts[:depth])), "config", None)
        if config is not None:
            yield config


def _said(config: Any) -> int | None:
    values = (getattr(config, key, None) for key in _KEYS)
    return next((n for n in values if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)


def _by_length(config: Any) -> Iterator[tuple[str, int]]:
    """(type, border) of each set of frequencies that depends on the longest row."""
    settings: Any = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if not isinstance(settings, dict):
        return
    for own in (settings, *settings.values()):
        kind = (own.get("rope_type") or own.get("type")) if isinstance(own, dict) else None
        if not isinstance(kind, str) or kind in _STATIC:
            continue
        trained = getattr(config, "max_position_embeddings", None)
        border = own.get(_ORIGINAL) or getattr(config, _ORIGINAL, None) or trained
        border = trained if "dynamic" in kind else border
        if isinstance(border, int):
            yield kind, border


def _remembers(module: nn.Module) -> bool:
    types = getattr(module, "rope_type", None)
    kinds = types.values() if isinstance(types, dict) else (types,)
    return hasattr(module, "original_max_seq_len") and any("dynamic" in str(kind) for kind in kinds)


def _forget(module: Any) -> None:
    types = module.rope_type
    for prefix in [f"{layer_type}_" for layer_type in types] if isinstance(types, dict) else [""]:
        original = getattr(module, f"{prefix}original_inv_freq", None)
        if original is not None:
            present = getattr(module, f"{prefix}inv_freq")
            module.register_buffer(f"{prefix}inv_freq", original.to(present.device), persistent=False)
        setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)
