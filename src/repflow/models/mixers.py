"""What mixes the tokens in each block, told by what the block holds and does; and what kind of model that makes."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from torch import nn

from repflow.core import Kind, Tap, block_taps
from repflow.models.observing import Observed

_SIGNS: tuple[tuple[str, frozenset[str]], ...] = (
    ("SSM", frozenset({"A_log", "D"})),
    ("SSM", frozenset({"log_A_real", "D"})),
    ("linear attention", frozenset({"A_log"})),
    ("linear attention", frozenset({"slope_rate", "diagonal_decay"})),
    ("recurrent", frozenset({"recurrent_param"})),
    ("recurrent", frozenset({"time_decay"})),
    ("recurrent", frozenset({"igate_preact", "fgate_preact"})),
)
"""Parameters, buffers and parts by which a module is known as a mixer; the first line that fits says its kind. A state
space skips its input by D, which the delta rule and other linear attention do not have."""

_KINDS: dict[str, Kind] = {
    "attention": "TBM",
    "SSM": "SSM",
    "linear attention": "linear attention",
    "convolution": "convolution",
    "recurrent": "recurrent",
}


def mixers_of(model: nn.Module, taps: tuple[Tap, ...], observed: Observed) -> tuple[str, ...]:
    """One word a block: `attention`, `SSM`, `linear attention`, `convolution` or `recurrent`; `SSM+attention` where a
    block holds both, an empty text where nothing in it is known to mix tokens.

    Attention is where a softmax over keys ran. The others are known by their own parameters, a convolution by itself.
    What none of this tells, the config's `layer_types` may.
    """
    blocks = [model.get_submodule(tap.module) for tap in block_taps(taps)]
    said = _layer_types(model, len(blocks))
    return tuple(
        "+".join(sorted(_mixers(block, index in observed.attending) or _as_said(said[index])))
        for index, block in enumerate(blocks)
    )


def kind_of(mixers: Sequence[str]) -> Kind:
    """`TBM` for attention alone, the mixer's name where there is one kind, `hybrid` for several, `other` for none."""
    found = {mixer for block in mixers for mixer in block.split("+") if mixer}
    if len(found) > 1:
        return "hybrid"
    return _KINDS[found.pop()] if found else "other"


def has_experts(model: nn.Module) -> bool:
    """Whether tokens are sent to some of several experts."""
    return any(name.rpartition(".")[2] == "experts" for name, _ in model.named_modules())


def _mixers(block: nn.Module, attends: bool) -> set[str]:
    found = {kind for module in block.modules() if (kind := _sign(module))}
    if attends:
        found.add("attention")
    if not found and any(isinstance(module, nn.Conv1d) for module in block.modules()):
        return {"convolution"}
    return found


def _sign(module: nn.Module) -> str:
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return "recurrent"
    own = {name for name, _ in _own(module)}
    return next((kind for kind, signs in _SIGNS if signs <= own), "")


def _own(module: nn.Module) -> Iterator[tuple[str, Any]]:
    return chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False), module.named_children())


def _layer_types(model: nn.Module, blocks: int) -> list[str]:
    """What the config calls each block; empty texts where it does not say."""
    configs = (getattr(module, "config", None) for module in model.modules())
    types = (getattr(config, "layer_types", None) for config in configs if config is not None)
    fitting = (said for said in types if isinstance(said, list | tuple) and len(said) == blocks)
    return [str(word) for word in next(fitting, [""] * blocks)]


def _as_said(word: str) -> set[str]:
    if word == "linear_attention":
        return {"linear attention"}
    if word.endswith("attention"):
        return {"attention"}
    return {"convolution"} if word == "conv" else set()
