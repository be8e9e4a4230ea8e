"""Finds a model's state-space mixers and reads their recurrences while it runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import Site, block_taps
from repflow.models import Loaded
from repflow.models.recording import input_state, output_state
from repflow.studies.dynamics.ssm import mamba, mamba2, rg_lru
from repflow.studies.dynamics.ssm.kind import Kind
from repflow.studies.dynamics.ssm.recurrence import Recurrence

KINDS: dict[str, Kind] = {kind.KIND.name: kind.KIND for kind in (mamba, mamba2, rg_lru)}


@dataclass(frozen=True, slots=True)
class BlockMixer:
    """The state-space mixer of one block."""

    block: int
    """Index of the block, from 0."""
    site: Site
    """The block's output."""
    module: str
    """The mixer's name in `model.named_modules()`."""
    kind: str
    """`mamba`, `mamba2` or `rg_lru`."""
    unit: str
    """What has a time step of its own: `channel` or `head`."""
    units: int
    states: int
    """Values of the transition a unit."""


Sink = Callable[[BlockMixer, Recurrence], None]


def mixers(subject: Loaded) -> tuple[BlockMixer, ...]:
    """The state-space mixers of a subject's blocks, in order; empty where there are none this package can read.

    Mixers are told by their parts, whatever the family: Mamba's and Mamba-2's scans and RecurrentGemma's gated units.
    RWKV's time mixing is not read.
    """
    found = (_in_block(subject.model, i, tap.module, tap.site) for i, tap in enumerate(block_taps(subject.taps)))
    return tuple(mixer for block in found for mixer in block)


def _in_block(model: nn.Module, block: int, name: str, site: Site) -> Iterator[BlockMixer]:
    for inner, module in model.get_submodule(name).named_modules():
        for kind in KINDS.values():
            if kind.fits(module):
                yield BlockMixer(block, site, f"{name}.{inner}", kind.name, kind.unit, *kind.sizes(module))


@contextmanager
def reading(model: nn.Module, read: Sequence[BlockMixer], sink: Sink) -> Iterator[None]:
    """Within the block, every forward pass calls `sink(mixer, recurrence)` at each mixer, in the order of the pass.

    The recurrence is computed anew from what the mixer's projection gives, so that fused kernels do not matter; the
    model's own pass is left as it is. The hooks are gone on leaving, also after an exception.
    """
    with ExitStack() as hooks:
        for mixer in read:
            hooks.callback(_attach(model, mixer, sink).remove)
        yield


def _attach(model: nn.Module, mixer: BlockMixer, sink: Sink) -> Any:
    module, kind = model.get_submodule(mixer.module), KINDS[mixer.kind]

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given, made = input_state(args, kwargs), output_state(output)
        assert given is not None, f"{mixer.module}.{kind.part} was called without a [batch, tokens, width] tensor"
        assert made is not None, f"{mixer.module}.{kind.part} gave no [batch, tokens, width] tensor"
        sink(mixer, _read(kind, module, given, made))

    return module.get_submodule(kind.part).register_forward_hook(after, with_kwargs=True)


def _read(kind: Kind, module: nn.Module, given: Tensor, made: Tensor) -> Recurrence:
    with torch.autocast(given.device.type, enabled=False):
        return kind.read(module, given.detach(), made.detach())
