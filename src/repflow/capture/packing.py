"""Rows in which several sequences stand one behind the other: where each begins, and how to lay them apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repflow.capture.given import Given
from repflow.capture.masks import Mask


def starts(called: Sequence[Given], real: Tensor, mask: Mask | None) -> Tensor:
    """bool [n, t]: where a further sequence of a row begins; False throughout where no row is packed."""
    found = torch.zeros_like(real) if mask is None else mask.apart.clone()
    positions = _first(called, "position_ids", real)
    if positions is not None:
        found |= _restarts(positions, real)
    numbers = _first(called, "seq_idx", real)
    if numbers is not None:
        found[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    for given in called:
        bounds = given.inputs.get("cu_seq_lens_q")
        if isinstance(bounds, Tensor) and len(real) == 1:
            inner = bounds.detach().cpu().long()
            found[0, inner[(inner > 0) & (inner < real.shape[1])]] = True
            break
    before = torch.zeros_like(real)
    before[:, 1:] = real.cumsum(1)[:, :-1] > 0
    return found & real & before


def places(real: Tensor, begins: Tensor) -> tuple[Tensor, Tensor]:
    """Where the tokens of each sequence stand, [k, m] places in the rows laid end to end; and which are no filling."""
    rows: list[np.ndarray] = []
    t = real.shape[1]
    for row, (counts, cuts) in enumerate(zip(real.numpy(), begins.numpy(), strict=True)):
        tokens = np.flatnonzero(counts)
        cut = np.flatnonzero(cuts[tokens])
        rows += [row * t + part for part in np.split(tokens, cut)]
    place = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
    valid = np.zeros(place.shape, bool)
    for i, row in enumerate(rows):
        place[i, : len(row)], valid[i, : len(row)] = row, True
    return torch.from_numpy(place), torch.from_numpy(valid)


def _first(called: Sequence[Given], name: str, real: Tensor) -> Tensor | None:
    """The innermost input of this name, one number a state."""
    found: Any = next((value for given in called if (value := given.inputs.get(name)) is not None), None)
    if not isinstance(found, Tensor) or found.ndim != 2 or found.shape[1] != real.shape[1]:
        return None
    return found.detach().cpu().expand(real.shape) if found.shape[0] in (1, len(real)) else None


def _restarts(positions: Tensor, real: Tensor) -> Tensor:
    """Positions that begin at 0 again. Rows whose positions never rise are not packed: they have no positions."""
    found = torch.zeros_like(real)
    both = real[:, 1:] & real[:, :-1]
    rises = ((positions[:, 1:] == positions[:, :-1] + 1) & both).any(1, keepdim=True)
    found[:, 1:] = (positions[:, 1:] == 0) & both & rises
    return found
