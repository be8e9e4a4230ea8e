"""Attention masks of every shape: which states are tokens, and which belong to one sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repflow.capture.given import Given
from repflow.core import BadSetting

_KEY_PADDING = ("key_padding_mask", "src_key_padding_mask", "tgt_key_padding_mask")
"""torch's own masks: True, or minus infinity, at padding."""
_HIDDEN = -9e3
"""What is added to hide a token is below; what is added for its distance is above."""
_OTHER = ("head", "loss", "label", "pixel", "image", "cross", "encoder", "causal", "layer")
"""Words in the names of masks that say nothing of padding."""


@dataclass(frozen=True, eq=False)
class Mask:
    """What a mask says of the states [n, t], on the CPU."""

    real: Tensor
    """bool [n, t]"""
    apart: Tensor
    """bool [n, t]: the state belongs to another sequence than the one before it."""


def mask_of(called: Sequence[Given], n: int, t: int, virtual: int, who: str, name: str) -> Mask | None:
    """The innermost mask given; None where there is none. A mask may also cover cached tokens before the states.

    Raises BadSetting for a mask that does not say which states are padding.
    """
    given_ones = [
        (wanted, value)
        for given in called
        for wanted in (name, *_KEY_PADDING)
        if (value := _whole(given.inputs.get(wanted))) is not None
    ]
    for wanted, value in given_ones:
        if isinstance(value, Tensor) and (found := _read(value, n, t, virtual, wanted in _KEY_PADDING)) is not None:
            return found
    if given_ones:
        wanted, value = given_ones[0]
        shape = list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise BadSetting(
            f"{who} reads {wanted} of shape [{n}, {t}] or longer, as the states are, or a causal one of shape "
            f"[{n}, 1, {t}, {t}]; it got {shape}, which does not say what is padding; mask=None counts every state"
        )
    for given in called:
        for other, value in given.inputs.items():
            if _may_be_one(other, value, n, t):
                raise BadSetting(
                    f"{who} cannot tell whether {other!r} masks padding: mask={other!r} if it is 1 at tokens and 0 at "
                    "padding, mask=None if it says nothing of padding"
                )
    return None


def _whole(value: Any) -> Any:
    """Some models take a mask for each kind of layer; full attention leaves nothing out."""
    return value.get("full_attention", next(iter(value.values()), None)) if isinstance(value, Mapping) else value


def _read(value: Tensor, n: int, t: int, virtual: int, key_padding: bool) -> Mask | None:
    """None for a mask that does not say which states are padding."""
    if value.ndim < 2 or value.shape[0] not in (1, n):
        return None
    value = value.detach().cpu().expand(n, *value.shape[1:])
    if value.ndim == 2 and (value.shape[1] >= t or value.shape[1] == t - virtual):
        return _flat(value, t, virtual, key_padding)
    if value.ndim == 3:
        return _square(value[:, None], t)
    return _square(value, t) if value.ndim == 4 else None


def _flat(value: Tensor, t: int, virtual: int, key_padding: bool) -> Mask:
    if value.shape[1] < t:
        before = torch.full((len(value), virtual), not key_padding).to(value.dtype)
        value = torch.cat([before, value], 1)
    value = value[:, value.shape[1] - t :]
    additive = value.is_floating_point() and bool((value < 0).any())
    real = (value == 0) if additive or key_padding else (value != 0)
    apart = torch.zeros_like(real)
    if not additive and not key_padding:
        # Numbers beyond 1 tell the sequences of a packed row apart.
        apart[:, 1:] = (value[:, 1:] != value[:, :-1]) & real[:, 1:] & real[:, :-1]
    return Mask(real, apart)


def _square(value: Tensor, t: int) -> Mask | None:
    """A token sees itself. Where one sees what comes after it, whether it is padding or looks ahead cannot be told."""
    queries, keys = value.shape[2:]
    if queries != t or keys < t:
        return None
    if value.is_floating_point() and not bool((value > 0).any()):
        sees = (value > _HIDDEN).any(1)
    else:
        sees = (value != 0).any(1)
    sees = sees[..., keys - t :]
    if bool(sees.triu(1).any()):
        return None
    real = sees.diagonal(dim1=1, dim2=2).clone()
    apart = torch.zeros_like(real)
    apart[:, 1:] = ~sees.diagonal(-1, 1, 2) & real[:, 1:] & real[:, :-1]
    return Mask(real, apart)


def _may_be_one(name: str, value: Any, n: int, t: int) -> bool:
    if "mask" not in name or any(word in name for word in _OTHER) or not isinstance(value, Tensor):
        return False
    if value.ndim != 2 or len(value) != n or value.shape[1] < t:
        return False
    return value.unique().tolist() in ([0, 1], [False, True])
