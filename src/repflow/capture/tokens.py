"""Which states of a pass are tokens: neither padding nor virtual, and of which sequence of a packed row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from repflow.capture.given import Given
from repflow.capture.masks import Mask, mask_of
from repflow.capture.packing import places, starts
from repflow.core import BadSetting

_ENCODER_DECODER = "decoder_input_ids"


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one pass, on the CPU. Rows are sequences: as the pass has them, or taken out of packed rows."""

    real: Tensor
    """bool [n, t]: False at padding and virtual tokens."""
    ids: Tensor | None
    """[n, t], -1 where a state is no token of the caller's; None where the pass was given no ids."""
    place: Tensor | None = None
    """[n, t]: where each state stands in the rows of the pass, laid end to end; None where rows are as they are."""
    doubts: tuple[str, ...] = ()
    """What could not be told and may matter."""

    def laid(self, states: Tensor) -> Tensor:
        """The states of the pass by sequence, [n, t, d]."""
        return states if self.place is None else states.flatten(0, 1)[self.place.to(states.device)]

    def without_empty(self) -> "Tokens":
        """Without the rows that hold no token."""
        there = self.real.any(1)
        if bool(there.all()):
            return self
        place = torch.arange(self.real.numel()).view(self.real.shape) if self.place is None else self.place
        return replace(
            self, real=self.real[there], ids=None if self.ids is None else self.ids[there], place=place[there]
        )

    def special(self, ids: Sequence[int], who: str) -> Tensor:
        """bool [n, t]: the tokens of these ids. Raises BadSetting where the pass was given none to compare."""
        if not len(ids):
            return torch.zeros_like(self.real)
        if self.ids is None:
            raise BadSetting(
                f"{who} tells special tokens by input_ids, got None in a pass; leave the special ids out, or call the "
                "model on input_ids"
            )
        return torch.isin(self.ids, torch.tensor(list(ids), dtype=torch.int64)) & self.real


@dataclass(frozen=True)
class Reading:
    """How a model's inputs are read."""

    who: str
    """Who reads them, for errors."""
    mask: str | None = "attention_mask"
    """The input that is 1 at tokens and 0 at padding; None: padding cannot be read, every token counts."""
    pad_id: int | None = None
    pad_is_more: bool = True
    """Whether the padding id also stands for a token, such as the end of a text."""


def reading_of(model: nn.Module, who: str, mask: str | None = "attention_mask") -> Reading:
    """With the padding id that a Hugging Face model's configuration names."""
    configs = (getattr(module, "config", None) for module in model.modules())
    config: Any = next((found for found in configs if hasattr(found, "get_text_config")), None)
    text = None if config is None else config.get_text_config()
    pad = getattr(text, "pad_token_id", None)
    if not isinstance(pad, int):
        return Reading(who, mask)
    others: list[Any] = []
    for name in ("bos_token_id", "eos_token_id", "sep_token_id"):
        value = getattr(text, name, None)
        others += value if isinstance(value, list | tuple) else [value]
    return Reading(who, mask, pad, pad in others)


def tokens_of(called: Sequence[Given], n: int, t: int, reading: Reading, embedding: Tensor | None = None) -> Tokens:
    """The tokens behind states [n, t, d], from what the modules around them were called with, the innermost first.

    States before the token ids, where a module in between put virtual tokens, do not count; `embedding` [vocab, d]
    tells them. Padding is what the mask says, else a run of a padding id that stands for nothing else at either end of
    a row. Rows in which several sequences are packed are taken apart, by positions that start again at 0,
    `cu_seq_lens_q`, `seq_idx`, or a mask that numbers or separates them.
    Raises BadSetting for inputs that do not say which states are tokens.
    """
    called = _within(called)
    ids, virtual = _ids(called, n, t, reading.who, embedding)
    mask = mask_of(called, n, t, virtual, reading.who, reading.mask) if reading.mask else None
    real = torch.ones(n, t, dtype=torch.bool) if mask is None else mask.real.clone()
    real[:, :virtual] = False
    doubts: list[str] = []
    if ids is not None and reading.mask is not None:
        doubts += _pad_by_id(real, ids, mask, reading)
    found = Tokens(real, ids, None, tuple(doubts))
    begins = starts(called, real, mask)
    return _taken_apart(found, begins) if bool(begins.any()) else found


def _within(called: Sequence[Given]) -> Sequence[Given]:
    """Without the modules around an encoder and decoder: their inputs are the other's as well."""
    for place, given in enumerate(called):
        if place and _ENCODER_DECODER in given.names:
            return called[:place]
    return called


def _ids(called: Sequence[Given], n: int, t: int, who: str, embedding: Tensor | None) -> tuple[Tensor | None, int]:
    """The token ids [n, t], -1 at virtual tokens, and how many of these stand before the tokens."""
    length, embeds = t, None
    for given in called:
        ids, made = _own_ids(given.inputs), _own_embeds(given.inputs)
        mine = ids if ids is not None else made
        if mine is None or len(mine) != n or mine.shape[1] > length:
            continue
        if mine.shape[1] < length:
            _check_virtual(mine, embeds, length, who, embedding)
            length = mine.shape[1]
        embeds = made if made is not None else embeds
        if ids is not None:
            before = torch.full((n, t - length), -1, dtype=torch.int64)
            return torch.cat([before, ids.detach().cpu().long()], 1), t - length
    return None, t - length


def _check_virtual(mine: Tensor, embeds: Tensor | None, length: int, who: str, embedding: Tensor | None) -> None:
    """The caller gave fewer tokens than there are states: the last of these must be the caller's."""
    last = None if embeds is None else embeds[:, length - mine.shape[1] :]
    wanted = mine if mine.is_floating_point() else _looked_up(mine, embedding)
    if last is None or wanted is None or last.shape != wanted.shape:
        same = False
    else:
        same = torch.allclose(last.float(), wanted.to(last.device).float(), rtol=1e-2, atol=1e-5)
    if not same:
        raise BadSetting(
            f"{who}: a pass holds {length} states a row for {mine.shape[1]} tokens, and which of them are virtual "
            "cannot be told; give the module inside, whose every state counts"
        )


def _looked_up(ids: Tensor, embedding: Tensor | None) -> Tensor | None:
    return None if embedding is None else embedding.detach()[ids.to(embedding.device)]


def _own_ids(inputs: Mapping[str, Any]) -> Tensor | None:
    """`input_ids`, else the first input that looks like token ids."""
    named = inputs.get("input_ids")
    if isinstance(named, Tensor):
        return named if _is_ids(named) else None
    if named is None and _own_embeds(inputs) is not None:
        return None
    names = (
        name for name in inputs if not any(word in name for word in ("mask", "label", "target", "position", "type"))
    )
    return next((inputs[name] for name in names if _is_ids(inputs[name])), None)


def _own_embeds(inputs: Mapping[str, Any]) -> Tensor | None:
    named = inputs.get("inputs_embeds")
    return named if isinstance(named, Tensor) and named.ndim == 3 else None


def _is_ids(value: Any) -> bool:
    integers = (torch.int64, torch.int32, torch.int16, torch.uint8)
    return isinstance(value, Tensor) and value.ndim == 2 and value.dtype in integers


def _pad_by_id(real: Tensor, ids: Tensor, mask: Mask | None, reading: Reading) -> list[str]:
    """Takes runs of the padding id at either end of a row out of `real`, where no mask speaks. Returns doubts."""
    if reading.pad_id is None:
        return []
    is_pad = (ids == reading.pad_id) & real
    run = _end_runs(is_pad, real)
    longest = int(run.sum(1).max()) if len(run) else 0
    if not longest or (reading.pad_is_more and longest < 2):
        return []
    if mask is None and not reading.pad_is_more:
        real &= ~run
        return []
    if mask is None:
        both = "which is padding and the end of a text alike, and no attention_mask says which it is"
        return [f"rows begin or end with runs of the token id {reading.pad_id}, {both}: all were counted"]
    if reading.pad_is_more:
        return []
    return [f"attention_mask is 1 at the padding id {reading.pad_id} at the end of rows: it was counted as a token"]


def _end_runs(is_pad: Tensor, real: Tensor) -> Tensor:
    """The unbroken runs at either end of each row; what is not real does not break one."""
    passed = (is_pad | ~real).int()
    left = passed.cumprod(1)
    right = passed.flip(1).cumprod(1).flip(1)
    return (left | right).bool() & is_pad


def _taken_apart(found: Tokens, begins: Tensor) -> Tokens:
    place, valid = places(found.real, begins)
    ids = None if found.ids is None else found.ids.flatten()[place]
    return replace(found, real=valid, ids=ids, place=place)
