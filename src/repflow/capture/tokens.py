"""Which states of a pass are tokens: neither padding nor virtual, and of which sequence of a packed row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from repflow.capture.given import Given
from repflow.capture.masks import mask_of
from repflow.capture.packing import places, starts
from repflow.capture.padding import Reading, unpadded
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


def tokens_of(called: Sequence[Given], n: int, t: int, reading: Reading, embedding: Tensor | None = None) -> Tokens:
    """The tokens behind states [n, t, d], from what the modules around them were called with, the innermost first.

    States before the token ids, where a module in between put virtual tokens, do not count; `embedding` [vocab, d]
    tells them. Padding is what the mask says, else a run of a padding id that stands for nothing else at either end of
    a row; runs of what else may be padding are doubts. Rows in which several sequences are packed are taken apart, by
    positions that start again at 0, `cu_seq_lens_q`, `seq_idx`, or a mask that numbers or separates them.
    Raises BadSetting for inputs that do not say which states are tokens.
    """
    called = _within(called)
    ids, virtual = _ids(called, n, t, reading.who, embedding)
    mask = mask_of(called, n, t, virtual, reading.who, reading.mask) if reading.mask else None
    real = torch.ones(n, t, dtype=torch.bool) if mask is None else mask.real.clone()
    real[:, :virtual] = False
    doubts: tuple[str, ...] = ()
    if reading.mask is not None:
        made = next((found for given in called if (found := _own_embeds(given.inputs)) is not None), None)
        shown = made if ids is None else ids
        doubts = unpadded(real, None if shown is None else shown.detach().cpu(), virtual, mask is not None, reading)
    found = Tokens(real, ids, None, doubts)
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


def _taken_apart(found: Tokens, begins: Tensor) -> Tokens:
    place, valid = places(found.real, begins)
    ids = None if found.ids is None else found.ids.flatten()[place]
    return replace(found, real=valid, ids=ids, place=place)
