"""Hooks that hand a model's residual stream to a sink as it passes, and are gone afterwards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from repflow.core import ModelProblem, Site, Tap

Sink = Callable[[Site, Tensor], None]


@contextmanager
def tapped(model: nn.Module, taps: Sequence[Tap], sink: Sink) -> Iterator[None]:
    """Within the block, every forward pass calls `sink(site, states)` at each tap, in the order of the pass.

    States are the model's own tensors [batch, tokens, width]: read them, do not keep or change them. Inputs may be
    positional or keyword-only, outputs a tensor or a tuple that begins with one. The hooks are removed on leaving,
    also after an exception inside the model or the sink.
    """
    handles: list[RemovableHandle] = []
    try:
        for tap in taps:
            handles.append(_attach(model, tap, sink))  # noqa: PERF401 - a hook made before a failure must be removed
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attach(model: nn.Module, tap: Tap, sink: Sink) -> RemovableHandle:
    try:
        module = model.get_submodule(tap.module)
    except AttributeError as error:
        raise ModelProblem(f"site {tap.site.name}: the model has no module {tap.module!r}") from error
    if tap.where == "input":

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            sink(tap.site, _states([*args, *kwargs.values()], tap))

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        del args, kwargs
        sink(tap.site, _states(output if isinstance(output, tuple | list) else [output], tap))

    return module.register_forward_hook(after, with_kwargs=True)


def _states(values: Sequence[Any], tap: Tap) -> Tensor:
    """The first [batch, tokens, width] float tensor among a module's inputs or outputs."""
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point() and value.dim() == 3:
            return value
    kinds = ", ".join(type(v).__name__ for v in values) or "nothing"
    raise ModelProblem(f"site {tap.site.name}: the {tap.where} of {tap.module!r} holds no states, only {kinds}")
