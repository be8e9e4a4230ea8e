"""One pass of a model, watched: in which blocks a softmax over keys runs, and how many positions have a learned row."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from repflow.core import Tap, block_taps

PROBE_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Observed:
    """What one pass over `probe_ids` showed."""

    attending: frozenset[int] = frozenset()
    """The blocks in which scaled dot product attention, or a softmax of [batch, heads, queries, keys], ran."""
    positions: int | None = None
    """Tokens for which a learned position embedding has rows; None where there is none."""


def probe_ids(rows: int, device: torch.device) -> Tensor:
    """[1, 8] token ids below `rows`: not consecutive, as positions are, and not the first ones, as padding often is."""
    ids = torch.tensor([[13, 9, 15, 11, 8, 14, 10, 12]], device=device)
    return ids.remainder(rows)


def observe(model: nn.Module, taps: tuple[Tap, ...], run: Callable[[], object]) -> Observed:
    """Runs the model once, without gradients. The hooks are gone afterwards, whatever happens."""
    blocks = [model.get_submodule(tap.module) for tap in block_taps(taps)]
    watching = _Watching()
    with ExitStack() as hooks, torch.no_grad():
        for index, block in enumerate(blocks):
            hooks.callback(block.register_forward_pre_hook(watching.entering(index)).remove)
            hooks.callback(block.register_forward_hook(watching.leave).remove)
        with watching:
            run()
    return Observed(frozenset(watching.attending), min(watching.rooms, default=None))


@dataclass(eq=False)
class _Watching(TorchFunctionMode):
    """Sees every torch function that is called."""

    attending: set[int] = field(default_factory=set[int])
    rooms: list[int] = field(default_factory=list[int])
    _inside: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        super().__init__()

    def entering(self, index: int) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self._inside.append(index)

        return enter

    def leave(self, *_: Any) -> None:
        self._inside.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        made = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if self._inside and (name == "scaled_dot_product_attention" or (name == "softmax" and _over_keys(made))):
            self.attending.update(self._inside)
        if name == "embedding":
            self._look(*_named(("input", "weight"), args, kwargs or {}))
        return made

    def _look(self, ids: Tensor, weight: Tensor) -> None:
        """A table looked up with consecutive numbers, one a token, holds positions; the first number is its offset.

        One that has no further rows holds virtual tokens, as prompt tuning makes.
        """
        row = ids.reshape(-1)
        if row.numel() == PROBE_TOKENS and bool((row.diff() == 1).all()):
            room = weight.shape[0] - int(row[0])
            self.rooms += [room] if room > PROBE_TOKENS else []


def _over_keys(weights: Tensor) -> bool:
    """[batch, heads, queries, keys], or [batch * heads, tokens, tokens]. A router's weights have neither form."""
    return weights.ndim >= 4 or (weights.ndim == 3 and weights.shape[0] > 1 and weights.shape[1] == weights.shape[2])


def _named(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    given = dict(zip(names, args, strict=False)) | kwargs
    return tuple(given[name] for name in names)
