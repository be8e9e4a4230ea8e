"""One run of a model with the states going in and out of named modules kept. For small probes only."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """The first call of a module: the state given and the state made, each [batch, tokens, width] or None."""

    name: str
    given: Tensor | None
    made: Tensor | None
    times: int = 1
    """How often the module was called in all."""


def input_state(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The hidden state among a module's inputs: `hidden_states` by name, else the first 3-d float tensor."""
    named = kwargs.get("hidden_states")
    candidates = [named, *args, *kwargs.values()]
    return next((value for value in candidates if _is_state(value)), None)


def output_state(output: Any) -> Tensor | None:
    """The hidden state a module returned: the tensor, or the first element of a tuple."""
    first: Any = output[0] if isinstance(output, tuple | list) and output else output
    return first if _is_state(first) else None


def recorded(model: nn.Module, names: Iterable[str], run: Callable[[], object]) -> list[Call]:
    """The first call of each named module during one `run()`, without gradients, in the order they ended.

    The hooks are gone afterwards, whatever happens.
    """
    calls: dict[str, Call] = {}
    modules = dict(model.named_modules())

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if name in calls:
                calls[name] = replace(calls[name], times=calls[name].times + 1)
            else:
                calls[name] = Call(name, _copy(input_state(args, kwargs)), _copy(output_state(output)))

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name in dict.fromkeys(names):
            handle = modules[name].register_forward_hook(keep(name), with_kwargs=True)
            hooks.callback(handle.remove)
        run()
    return list(calls.values())


def _is_state(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 3 and value.is_floating_point()


def _copy(state: Tensor | None) -> Tensor | None:
    return None if state is None else state.detach().clone()
