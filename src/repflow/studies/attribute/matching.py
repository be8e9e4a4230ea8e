"""Weights drawn anew at the trained scale: every block's update as large, beside its stream, as the trained one's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from repflow.capture import tapped
from repflow.core import Example, Site, block_taps
from repflow.metrics import pad
from repflow.models import Loaded
from repflow.models.facts import weights_sha256
from repflow.models.initialise import drawn_matrices, named_briefly

EXAMPLES = 4
"""Read to tell a block's scale."""
ROUNDS = 16
NEAR, REACHED = 0.01, 0.05
"""Log ratios: the search ends when all blocks are within the first, and says so of those beyond the second."""
_SLOPES = (0.3, 8.0)


@dataclass(frozen=True)
class Scale:
    """What trained blocks do to the stream: the scale that draws are brought to."""

    batch: Tensor
    """Token ids [n, t], right-padded."""
    real: Tensor
    """bool [n, t]"""
    ratios: np.ndarray
    """[blocks] The logarithm of a block's update over its input, by norm, the median over tokens."""

    @classmethod
    def of(cls, trained: Loaded, examples: Sequence[Example]) -> "Scale":
        """That of the trained weights, on the first examples."""
        batch, real = pad([example.ids for example in examples[:EXAMPLES]])
        return cls(batch, real, _ratios(trained, batch, real))


def matched(drawn: Loaded, scale: Scale) -> Loaded:
    """Scales the matrices of each block, in place, until its update is as large as the trained one's.

    All matrices of a block get one factor, found by secants on the logarithms of factor and update, all blocks at once.
    What a recurrence is made of is no matrix here. A block whose update does not follow its matrices (a norm behind
    them) stays where it is, and is named in the facts' warnings.
    """
    matrices, wanted = _of_blocks(drawn), scale.ratios
    factor, slope = np.zeros_like(wanted), np.full_like(wanted, 2.0)
    now = _ratios(drawn, scale.batch, scale.real)
    for _ in range(ROUNDS):
        with np.errstate(invalid="ignore"):
            gap = np.nan_to_num(wanted - now, nan=0.0, posinf=0.0, neginf=0.0)
        if np.abs(gap).max(initial=0.0) < NEAR:
            break
        step = np.clip(gap / slope, -1.0, 1.0)
        _multiply(matrices, step)
        factor, before = factor + step, now
        now = _ratios(drawn, scale.batch, scale.real)
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = (now - before) / step
        slope = np.where(np.isfinite(seen) & (np.abs(step) > 1e-3), np.clip(seen, *_SLOPES), slope)
    return _told(drawn, np.exp(factor), wanted - now)


def _told(drawn: Loaded, factors: np.ndarray, gap: np.ndarray) -> Loaded:
    off = [f"block.{block}" for block, left in enumerate(gap) if not abs(left) <= REACHED]
    line = f"init={drawn.facts.init}: updates of {named_briefly(off)} do not come to the trained scale"
    facts = replace(
        drawn.facts,
        scales=tuple(factors.tolist()),
        warnings=(*drawn.facts.warnings, *([line] if off else [])),
        weights_sha256=weights_sha256(drawn.model),
    )
    return replace(drawn, facts=facts)


def _of_blocks(subject: Loaded) -> list[list[Tensor]]:
    """The matrices of each block; one that several blocks share belongs to the first."""
    named = drawn_matrices(subject.model)
    found: list[list[Tensor]] = []
    for tap in block_taps(subject.taps):
        inside = [name for name in named if name.startswith(f"{tap.module}.")]
        found.append([named.pop(name) for name in inside])
    return found


@torch.no_grad()
def _multiply(matrices: Sequence[Sequence[Tensor]], logs: np.ndarray) -> None:
    for tensors, log in zip(matrices, logs, strict=True):
        for tensor in tensors:
            tensor.mul_(float(np.exp(log)))


@torch.no_grad()
def _ratios(subject: Loaded, batch: Tensor, real: Tensor) -> np.ndarray:
    """The logarithm of the median over real tokens of ||update|| / ||input||, by block."""
    before: list[Tensor] = []
    found: list[float] = []
    shown = real.to(subject.device)

    def see(site: Site, states: Tensor) -> None:
        state = states.detach().float()[shown]
        if before and not site.is_final_norm:
            found.append(float(((state - before[0]).norm(dim=-1) / before[0].norm(dim=-1)).median()))
        before[:] = [state]

    with tapped(subject.model, subject.taps, see):
        subject.forward(batch)
    with np.errstate(divide="ignore"):
        return np.log(found)
