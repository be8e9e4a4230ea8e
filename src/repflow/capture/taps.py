"""Hooks that hand a model's residual stream to a sink as it passes, and are gone afterwards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from repflow.core import ModelProblem, Site, Tap
from repflow.models.recording import input_state, output_state

Sink = Callable[[Site, Tensor], None]


@contextmanager
def tapped(model: nn.Module, taps: Sequence[Tap], sink: Sink) -> Iterator[None]:
    """Within the block, every forward pass calls `sink(site, states)` at each tap, in the order of the pass.

    States are the model's own tensors [batch, tokens, width]: read them, do not keep or change them. Inputs may be
    positional or keyword-only, outputs a tensor or a tuple that begins with one. The hooks are removed on leaving,
    also after an exception inside the model or the sink.
    """
    with ExitStack() as hooks:
        for tap in taps:
            hooks.callback(_attach(model, tap, sink).remove)
        yield


def _attach(model: nn.Module, tap: Tap, sink: Sink) -> RemovableHandle:
    try:
        module = model.get_submodule(tap.module)
    except AttributeError as error:
        raise ModelProblem(f"site {tap.site.name}: the model has no module {tap.module!r}") from error
    if tap.where == "input":

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            sink(tap.site, _found(input_state(args, kwargs), tap))

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        del args, kwargs
        sink(tap.site, _found(output_state(output), tap))

    return module.register_forward_hook(after, with_kwargs=True)


def _found(states: Tensor | None, tap: Tap) -> Tensor:
    if states is None:
        raise ModelProblem(f"site {tap.site.name}: the {tap.where} of {tap.module!r} holds no [batch, tokens, width]")
    return states
