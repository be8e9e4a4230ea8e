"""Whether a pass hands the stream on from site to site as the sites say, seen while the pass goes by."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import ModelProblem, Tap
from repflow.models.embeddings import head_of
from repflow.models.families import FAMILIES
from repflow.models.finding import BY_HAND, describe_modules, same_state
from repflow.models.recording import input_state


class Handover:
    """Checks one pass: each block reads what the one before it wrote, the norm the last block, the head the norm.

    `broken` is why the last is not so; that need not be wrong. Passes in training mode are not judged: dropout may
    stand between the blocks. Costs one comparison of states a block, in one pass.
    """

    def __init__(self, model: nn.Module, taps: Sequence[Tap]) -> None:
        self.done = False
        self.broken = ""
        self._model = model
        self._taps = tuple(taps)
        self._wrote: Tensor | None = None
        self._unembedded: bool | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Puts the hooks there for as long as the block lasts."""
        with ExitStack() as hooks:
            for place, tap in enumerate(self._taps[2:], start=2):
                module = self._model.get_submodule(tap.module)
                hooks.callback(module.register_forward_pre_hook(self._reader(place), with_kwargs=True).remove)
            if self._taps[-1].site.is_final_norm and (head := head_of(self._model)) is not None:
                hooks.callback(head.register_forward_pre_hook(self._unembeds).remove)
            yield

    def begin(self) -> None:
        """A pass begins, or an unfinished one does not count."""
        self._wrote, self._unembedded = None, None

    def wrote(self, states: Tensor) -> None:
        """A site was reached."""
        self._wrote = None if self.done else states

    def end(self) -> None:
        """The pass is over."""
        self._wrote = None
        if self.done or self._model.training:
            return
        self.done = True
        if self._unembedded is False:
            self.broken = "the unembedding does not read the final norm's output as it is"

    def _reader(self, place: int) -> Callable[..., None]:
        def reads(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            wrote, read = self._wrote, input_state(args, kwargs)
            if self.done or self._model.training or wrote is None or read is None or wrote.device != read.device:
                return
            with torch.no_grad():
                same = same_state(wrote, read)
            if not same:
                raise ModelProblem(self._broken_at(place))

        return reads

    def _broken_at(self, place: int) -> str:
        before, after = self._taps[place - 1], self._taps[place]
        family = FAMILIES.get(getattr(getattr(self._model, "config", None), "model_type", ""))
        if family is not None and family.on_load:
            advice = "set " + ", ".join(f"model.config.{key} = {value!r}" for key, value in family.on_load.items())
        else:
            advice = f"{describe_modules(self._model)}; {BY_HAND}"
        return (
            f"{type(self._model).__name__} breaks the site contract: the input of {after.module} is not the output of "
            f"{before.module}; {advice}"
        )

    def _unembeds(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self.done or self._wrote is None or not args or args[0].ndim != 3:
            return
        wrote, read = self._wrote.detach().float().cpu(), args[0][:, -1:].detach().float().cpu()
        if wrote.shape[::2] == read.shape[::2] and self._unembedded is None:
            # The unembedding may read some tokens only, and scaled.
            alike = torch.cosine_similarity(wrote, read, dim=-1)
            self._unembedded = bool(((alike > 0.99) | ~alike.isfinite()).any(1).all())
