"""Padding that no mask speaks of: told by its id, or doubtful."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Reading:
    """How a model's inputs are read."""

    who: str
    """Who reads them, for errors."""
    mask: str | None = "attention_mask"
    """The input that is 1 at tokens and 0 at padding; None: padding cannot be read, every token counts."""
    pad_id: int | None = None
    """The id that is padding and nothing else, where there is one."""
    may_pad: frozenset[int] | None = None
    """Ids that people also pad with, such as the end of a text; None where that is not known."""


def reading_of(model: nn.Module, who: str, mask: str | None = "attention_mask") -> Reading:
    """With the ids that a Hugging Face model's configuration names."""
    configs = (getattr(module, "config", None) for module in model.modules())
    config: Any = next((found for found in configs if hasattr(found, "get_text_config")), None)
    if config is None:
        return Reading(who, mask)
    text = config.get_text_config()
    named = [getattr(text, name, None) for name in ("bos_token_id", "eos_token_id", "sep_token_id")]
    others = {i for value in named for i in (value if isinstance(value, list | tuple) else [value]) if i is not None}
    pad = getattr(text, "pad_token_id", None)
    return Reading(who, mask, pad if pad not in others else None, frozenset(others))


def unpadded(real: Tensor, shown: Tensor | None, virtual: int, masked: bool, reading: Reading) -> tuple[str, ...]:
    """Takes what is padding by its id out of `real` [n, t], where there is no mask. Returns what stays doubtful.

    `shown`: the token ids [n, t], or the embeddings [n, t, d]; `virtual` of them at the beginning are not the caller's.
    """
    if shown is None or not real.any():
        return ()
    doubts: list[str] = []
    if reading.pad_id is not None and shown.ndim == 2:
        run = _end_runs((shown == reading.pad_id) & real, real)
        if masked and bool(run.any()):
            doubts.append(f"attention_mask is 1 at the padding id {reading.pad_id} at the end of rows: it was counted")
        if not masked:
            real &= ~run
    if not masked and (what := _repeated(shown[:, virtual:], reading)):
        doubts.append(
            f"rows begin or end with {what}, which may be padding, and no attention_mask says: all of it was counted"
        )
    return tuple(doubts)


def _end_runs(is_pad: Tensor, real: Tensor) -> Tensor:
    """The unbroken runs at either end of each row; what is not real does not break one."""
    passed = (is_pad | ~real).int()
    left = passed.cumprod(1)
    right = passed.flip(1).cumprod(1).flip(1)
    return (left | right).bool() & is_pad


def _repeated(shown: Tensor, reading: Reading) -> str:
    """What a row begins or ends with again and again, if that is what people pad with."""
    for rows in (shown, shown.flip(1)):
        same = rows == rows[:, :1]
        lengths = (same.all(-1) if same.ndim == 3 else same).int().cumprod(1).sum(1)
        if shown.ndim == 3:
            if bool((lengths > 1).any()):
                return "runs of one embedding"
            continue
        for first, length in zip(rows[:, 0].tolist(), lengths.tolist(), strict=True):
            long = 3 if reading.may_pad is None else 2
            if length >= long and first != reading.pad_id and (reading.may_pad is None or first in reading.may_pad):
                return f"runs of the token id {first}"
    return ""
