"""Whether what is measured is what a caller of the model gets: virtual tokens, adapters and forwards of one's own."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import ModelProblem, Tap
from repflow.models.recording import Call, recorded

OrdinaryCall = Callable[[Tensor], Any]
"""Runs a model on token ids [n, t] as its users do."""


@dataclass(frozen=True)
class Likeness:
    """How the state at a tap in an ordinary call stands to that in another run on the same token ids."""

    apart: float
    """The largest difference, as a share of the largest value; infinite where the shapes differ."""
    extra: int
    """States a row that the ordinary call has more."""
    narrow: bool
    """Whether the states are of half precision."""

    @property
    def same(self) -> bool:
        return self.apart <= (2e-2 if self.narrow else 1e-4)


def ordinary_call(model: nn.Module, ids: Tensor) -> OrdinaryCall | str:
    """The model called by its own signature on token ids, with a mask of ones, and neither cache nor all logits.

    Options that the signature does not take are left out. Where even the bare call on `ids` fails: why.
    """
    names = inspect.signature(model.forward).parameters.values()
    fixed = {parameter.name for parameter in names if parameter.kind is not parameter.VAR_KEYWORD}
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in names)
    switches: dict[str, Any] = {"use_cache": False, "logits_to_keep": 1}
    named = {name: value for name, value in switches.items() if name in fixed}
    reason = ""
    for options in [switches, named] if open_ended else [named]:

        def call(ids: Tensor, options: dict[str, Any] = options) -> Any:
            mask = {"attention_mask": torch.ones_like(ids)} if open_ended or "attention_mask" in fixed else {}
            return model(input_ids=ids, **mask, **options)

        try:
            with torch.no_grad():
                call(ids)
        except Exception as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
        else:
            return call
    return reason


def likeness(model: nn.Module, tap: Tap, run: Callable[[], object], ordinary: Callable[[], object]) -> Likeness:
    """Compares the state at `tap` in `run()` with that in `ordinary()`."""
    states = [_at(tap, recorded(model, [tap.module], each)) for each in (run, ordinary)]
    mine, theirs = states
    if mine is None or theirs is None or mine.shape[::2] != theirs.shape[::2]:
        return Likeness(float("inf"), 0, False)
    narrow = mine.dtype not in (torch.float32, torch.float64)
    extra = theirs.shape[1] - mine.shape[1]
    if extra:
        return Likeness(float("inf"), extra, narrow)
    scale = theirs.float().abs().nan_to_num().amax().clamp(min=1e-30)
    return Likeness(float((mine.float() - theirs.float()).abs().nan_to_num().amax() / scale), 0, narrow)


def check_ordinary(model: nn.Module, tap: Tap, run: Callable[[Tensor], object], ids: Tensor) -> str:
    """Checks that `run(ids)` shows the state at `tap` that an ordinary call shows.

    Returns a warning where the model cannot be called on token ids alone, else nothing. Raises ModelProblem when the
    two differ: what would be measured is not what the model's users run.
    """
    call = ordinary_call(model, ids)
    if isinstance(call, str):
        return f"no ordinary call of {type(model).__name__} to compare the sites with: {call}"
    found = likeness(model, tap, lambda: run(ids), lambda: call(ids))
    if found.same:
        return ""
    what = (
        f"{found.extra} more states a row" if found.extra else f"states that differ by {found.apart:.2g} of the largest"
    )
    raise ModelProblem(
        f"{type(model).__name__}, called as its users call it, holds {what} at {tap.module} than its trunk alone, "
        "which is what would be measured; measure it in your own loop with repflow.watch"
    )


def _at(tap: Tap, calls: list[Call]) -> Tensor | None:
    if not calls:
        return None
    return calls[0].given if tap.where == "input" else calls[0].made
