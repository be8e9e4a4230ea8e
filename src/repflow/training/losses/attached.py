"""flow_losses: auxiliary losses on a model's sites, with gradients, while somebody else's loop trains it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from repflow.capture import Reading, in_backward, path_to, reading_of, tapped
from repflow.core import NotEnoughData, Site, Tap
from repflow.models import find_taps
from repflow.models.wrappers import unwrapped
from repflow.training.losses.contrastive import ContrastiveTokens
from repflow.training.losses.diversity import TokenDiversity
from repflow.training.losses.forward import ForwardPass
from repflow.training.losses.global_variance import VGlob
from repflow.training.losses.local_variance import VLoc
from repflow.training.losses.regulariser import FlowRegulariser
from repflow.training.losses.term import Losses, Term, terms_of

KNOWN: dict[str, type[Term]] = {term.name: term for term in (TokenDiversity, ContrastiveTokens, VLoc, VGlob)}
"""Every loss by its name."""


class FlowLosses:
    """The losses of a model's latest forward pass."""

    values: dict[str, Tensor]
    """Each loss without its weight, as `loss()` last found it; detached."""
    warnings: tuple[str, ...]
    """What could not be told of the passes' tokens, such as padding without a mask."""

    def __init__(
        self,
        model: nn.Module,
        terms: Sequence[Term],
        known: Sequence[Site],
        special_ids: Sequence[int],
        reading: Reading,
    ) -> None:
        self.values, self.warnings = {}, ()
        self._model = model
        self._groups = [(term, term.groups(known)) for term in terms]
        self._special = tuple(special_ids)
        self._reading = reading
        self._pass: ForwardPass | None = None
        self._live = True

    @property
    def sites(self) -> frozenset[Site]:
        """The sites that the losses read."""
        return frozenset(site for _, groups in self._groups for group in groups for site in group)

    def loss(self) -> Tensor:
        """The weighted sum of the losses of the latest forward pass, a scalar to add to the model's own loss.

        A mean over the pass's sequences: under gradient accumulation divide it by the number of passes, as one divides
        a mean loss. Call it once a pass, before `backward`; the states are let go.
        Raises NotEnoughData without a new pass, ModelProblem if the pass did not reach a site.
        """
        seen, self._pass = self._pass, None
        if seen is None:
            raise NotEnoughData("no new forward pass; call the model inside the `with` block, then loss() once a pass")
        found = {term.name: self._value(seen, term, groups) for term, groups in self._groups}
        self.values = {name: value.detach() for name, value in found.items()}
        total = torch.stack([term.weight * found[term.name] for term, _ in self._groups]).sum()
        for term, _ in self._groups:
            if isinstance(term, FlowRegulariser):
                term.seen(found[term.name])
        return total

    def _value(self, seen: ForwardPass, term: Term, groups: Sequence[tuple[Site, ...]]) -> Tensor:
        read = [seen.at(group) for group in groups]
        tokens = seen.tokens(read[0][-1], self._model, self._reading)
        self.warnings = tuple(dict.fromkeys((*self.warnings, *tokens.doubts)))
        counted = tokens.real & ~tokens.special(self._special, self._reading.who)
        laid = [[tokens.laid(states) for states in group] for group in read]
        return torch.stack([term.value(states, counted.to(states[-1].device)) for states in laid]).mean()

    def _call(self, level: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A whole model may be checkpointed, too.
        if not self._live or (not torch.compiler.is_compiling() and in_backward()):
            return
        if self._pass is None or not self._pass.running or self._pass.calls(level):
            self._pass = ForwardPass(torch.is_grad_enabled())
        self._pass.call(level, module, args, kwargs)

    def _see(self, site: Site, states: Tensor) -> None:
        if self._pass is not None and self._live:
            self._pass.see(site, states)

    def _close(self, level: int) -> None:
        if self._pass is not None and self._pass.running and self._pass.outermost == level:
            self._pass.running = False

    def _stop(self) -> None:
        # Compiled code keeps the hooks that it began with.
        self._live, self._pass = False, None


@contextmanager
def flow_losses(
    model: nn.Module,
    losses: Losses,
    *,
    special_ids: Sequence[int] = (),
    taps: Sequence[Tap] | None = None,
    blocks: str | None = None,
    final_norm: str | None = None,
    mask: str | None = "attention_mask",
) -> Iterator[FlowLosses]:
    """Auxiliary losses on the states of every forward pass of `model` inside the block, with their gradients.

        with flow_losses(model, {"token_diversity": 0.1}) as extra:
            loss = model(**batch).loss + extra.loss()

    Args:
        model: of a family repflow knows or can tell by its structure; wrapped by DistributedDataParallel or
            torch.compile or not.
        losses: weights by name (`token_diversity`, `contrastive_tokens`, `v_loc`, `v_glob`), or terms with settings,
            such as `TokenDiversity(0.1, margin=0.3, sites="0.75-1")`.
        special_ids: ids of tokens that do not count, besides padding.
        taps: sites named by hand, for a model that repflow does not know; or
        blocks, final_norm: the module that lists the blocks and the final norm, by name (`"none"`: it has none).
        mask: the input that is 1 at tokens and 0 at padding; None: every token counts.

    Tokens are told as in `repflow.watch`: by the signature of the model's forward, padding by the mask, without virtual
    tokens, the sequences of a packed row each by itself.
    The model's outputs are untouched and its hooks gone after the block. Enter it before a compiled model's first call.
    Raises ModelProblem when the sites cannot be found, UnknownName for a loss or site, BadSetting for a setting.
    """
    inner = unwrapped(model, "flow_losses")
    found = tuple(taps) if taps is not None else find_taps(inner, blocks=blocks, final_norm=final_norm)
    known = tuple(tap.site for tap in found)
    reading = reading_of(inner, "flow_losses", mask)
    extra = FlowLosses(inner, terms_of(losses, KNOWN), known, special_ids, reading)
    read = [tap for tap in found if tap.site in extra.sites]
    around = [inner.get_submodule(name) for name in path_to(inner, read)]
    with ExitStack() as hooks:
        hooks.callback(extra._stop)
        for level, module in enumerate(around):
            call = partial(extra._call, level)
            hooks.callback(module.register_forward_pre_hook(call, with_kwargs=True).remove)
        hooks.enter_context(tapped(inner, read, extra._see))
        for level, module in enumerate(around):
            hooks.callback(module.register_forward_hook(_closer(extra, level)).remove)
        yield extra


def _closer(extra: FlowLosses, level: int) -> Callable[..., None]:
    return lambda *_: extra._close(level)
