"""Where the forward passes of a model begin and end, and what they were called with, seen from outside."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from repflow.capture.given import Given, given
from repflow.capture.taps import tapped
from repflow.core import ModelProblem, Site, Tap


@runtime_checkable
class Listener(Protocol):
    """Hears of every pass: `begin`, `see` at each site, then `end`, or `drop` where an error ended it."""

    def begin(self) -> None: ...

    def see(self, site: Site, states: Tensor, called: Sequence[Given]) -> None:
        """`called`: the modules around the site that are being called, the innermost first."""
        ...

    def end(self, output: Any) -> None:
        """`output` is that of the outermost module called."""
        ...

    def drop(self) -> None: ...

    def stray(self, site: Site) -> None:
        """A site was reached outside any pass: somebody called a module between the model and its blocks' parts."""
        ...


@contextmanager
def followed(model: nn.Module, taps: Sequence[Tap], listener: Listener, who: str) -> Iterator[None]:
    """Within the block, `listener` hears of every forward pass that goes through the taps. Hooks are gone afterwards.

    A pass is a call of the model, or of the module inside it that holds all the taps, whichever is outermost. What runs
    again in a backward pass (gradient checkpointing) is none. Errors of the listener reach the caller of the model.
    Raises ModelProblem, in that call, for another thread, and for a model that goes through its taps twice in a call.
    """
    path = path_to(model, taps)
    following = _Following([model.get_submodule(name) for name in path], listener, who)
    with ExitStack() as hooks:
        for level, module in enumerate(following.path):
            hooks.callback(module.register_forward_pre_hook(following.opener(level), with_kwargs=True).remove)
        hooks.enter_context(tapped(model, taps, following.see))
        # After the taps' hooks, so that a module's own output can be a site; and also when its forward fails.
        for level, module in enumerate(following.path):
            hooks.callback(module.register_forward_hook(following.closer(level), always_call=True).remove)
        hooks.callback(following.stop)
        yield


def path_to(model: nn.Module, taps: Sequence[Tap]) -> list[str]:
    """The names of the modules that are called around all the taps, from the model down to the innermost."""
    parents = [tap.module.split(".")[:-1] if tap.module else [] for tap in taps]
    shared: list[str] = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    names = [".".join(shared[:depth]) for depth in range(len(shared) + 1)]
    # Lists of modules are not called.
    return [name for name in names if not isinstance(model.get_submodule(name), nn.ModuleList | nn.ModuleDict)]


class _Following:
    """The calls under way along a path of nested modules. Once stopped it hears nothing: compiled code keeps hooks."""

    def __init__(self, path: Sequence[nn.Module], listener: Listener, who: str) -> None:
        self.path = tuple(path)
        self._listener = listener
        self._who = who
        self._thread = threading.get_ident()
        self._open: list[tuple[int, Given, BaseException | None]] = []
        self._through = 0
        """How often this pass has called the innermost module."""
        self._seen = False
        """Whether this pass has reached a site."""
        self._dropped = False
        """Whether an error ended a call in this pass."""
        self._live = True

    def stop(self) -> None:
        self._live = False

    def opener(self, level: int) -> Callable[..., None]:
        """The hook at the beginning of a module's forward."""

        def opened(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self._deaf():
                return
            # Calls that Ctrl-C ended left no word.
            self._open = [entry for entry in self._open if entry[0] < level]
            if not self._open:
                self._check_place()
            if not self._open or self._dropped:
                self._through, self._seen, self._dropped = 0, False, False
                self._listener.begin()
            self._open.append((level, given(module, args, kwargs), sys.exc_info()[1]))
            if level == len(self.path) - 1:
                self._through += 1
                self._check_once()

        return opened

    def closer(self, level: int) -> Callable[..., None]:
        """The hook at the end of a module's forward, or where an error ends it."""

        def closed(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            del args
            if self._deaf() or level not in [entry[0] for entry in self._open]:
                return
            failed = sys.exc_info()[1] is not next(entry[2] for entry in self._open if entry[0] == level)
            self._open = [entry for entry in self._open if entry[0] < level]
            if failed:
                # A caller inside the model may yet mend it and call again.
                self._dropped = True
                self._listener.drop()
            elif not self._open and not self._dropped and (self._through or self._seen):
                self._listener.end(output)

        return closed

    def see(self, site: Site, states: Tensor) -> None:
        """The sink of the taps."""
        if self._deaf():
            return
        if not self._open:
            self._listener.stray(site)
            return
        self._seen = True
        self._listener.see(site, states, [entry[1] for entry in reversed(self._open)])

    def _deaf(self) -> bool:
        return not self._live or in_backward()

    def _check_place(self) -> None:
        if cast("Any", torch._C)._functorch.peek_interpreter_stack() is not None:
            raise ModelProblem(
                f"{self._who} cannot see into torch.func's grad, vmap and the like; call the model itself"
            )
        if threading.get_ident() != self._thread:
            raise ModelProblem(
                f"{self._who} follows one thread, the one that entered its block, and the model was called in another; "
                "enter the block in the thread that calls the model"
            )

    def _check_once(self) -> None:
        if self._through > 1:
            outer, inner = type(self.path[0]).__name__, self.path[-1]
            raise ModelProblem(
                f"one call of {outer} goes through {type(inner).__name__} {self._through} times; where each is a pass "
                f"of its own, give {self._who} the {type(inner).__name__} inside"
            )


def in_backward() -> bool:
    """Whether a backward pass runs in this thread, in which checkpointed modules are called again."""
    return torch._C._current_graph_task_id() != -1
