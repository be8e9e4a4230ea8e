"""flow_losses: auxiliary losses on a model's sites, with gradients, while somebody else's loop trains it."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from repflow.capture import tapped
from repflow.core import ModelProblem, NotEnoughData, Site, Tap
from repflow.models import find_taps
from repflow.training.losses._contrastive_tokens import ContrastiveTokens
from repflow.training.losses._forward import ForwardPass
from repflow.training.losses._term import Losses, Term, terms_of
from repflow.training.losses._token_diversity import TokenDiversity
from repflow.training.losses._v_glob import VGlob
from repflow.training.losses._v_loc import VLoc

KNOWN: dict[str, type[Term]] = {term.name: term for term in (TokenDiversity, ContrastiveTokens, VLoc, VGlob)}
"""Every loss by its name."""

_WRAPPERS = ("module", "_orig_mod")
"""What wrappers such as DistributedDataParallel and torch.compile call the model inside."""


class FlowLosses:
    """The losses of a model's latest forward pass."""

    values: dict[str, Tensor]
    """Each loss without its weight, as `loss()` last found it; detached."""

    def __init__(self, terms: Sequence[Term], known: Sequence[Site], special_ids: Sequence[int]) -> None:
        self.values = {}
        self._groups = [(term, term.groups(known)) for term in terms]
        self._special = torch.tensor(list(special_ids), dtype=torch.int64)
        self._pass: ForwardPass | None = None

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
        return torch.stack([term.weight * found[term.name] for term, _ in self._groups]).sum()

    def _value(self, seen: ForwardPass, term: Term, groups: Sequence[tuple[Site, ...]]) -> Tensor:
        read = [seen.at(group) for group in groups]
        return torch.stack([term.value(states, seen.counted(states[-1], self._special)) for states in read]).mean()

    def _announce(self, given: dict[str, Any]) -> None:
        self._pass = ForwardPass(given, torch.is_grad_enabled())

    def _see(self, site: Site, states: Tensor) -> None:
        if self._pass is not None:
            self._pass.see(site, states)

    def _close(self) -> None:
        if self._pass is not None:
            self._pass.running = False


@contextmanager
def flow_losses(
    model: nn.Module, losses: Losses, *, special_ids: Sequence[int] = (), taps: Sequence[Tap] | None = None
) -> Iterator[FlowLosses]:
    """Auxiliary losses on the states of every forward pass of `model` inside the block, with their gradients.

        with flow_losses(model, {"token_diversity": 0.1}) as extra:
            loss = model(**batch).loss + extra.loss()

    Args:
        model: of a family repflow knows or can tell by its structure; wrapped by DistributedDataParallel or
            torch.compile or not.
        losses: weights by name (`token_diversity`, `contrastive_tokens`, `v_loc`, `v_glob`), or terms with settings,
            such as `TokenDiversity(0.1, margin=0.3, sites="0.75-1")`.
        special_ids: ids of tokens that do not count, besides padding, which is read from `attention_mask`.
        taps: sites named by hand, for a model that repflow does not know.

    The model's outputs are untouched and its hooks gone after the block. Enter it before a compiled model's first call.
    Raises ModelProblem when the sites cannot be found, UnknownName for a loss or site, BadSetting for a setting.
    """
    inner = unwrapped(model)
    found = tuple(taps) if taps is not None else find_taps(inner)
    known = tuple(tap.site for tap in found)
    extra = FlowLosses(terms_of(losses, KNOWN), known, special_ids)
    names = list(inspect.signature(type(inner).forward).parameters)[1:]

    def announce(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        extra._announce({**dict(zip(names, args, strict=False)), **kwargs})

    begun = inner.register_forward_pre_hook(announce, with_kwargs=True)
    try:
        with tapped(inner, [tap for tap in found if tap.site in extra.sites], extra._see):
            ended = inner.register_forward_hook(lambda *_: extra._close())
            try:
                yield extra
            finally:
                ended.remove()
    finally:
        begun.remove()
        extra._pass = None


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside its wrappers. Raises ModelProblem for DataParallel on several devices, which runs copies."""
    if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
        raise ModelProblem(
            f"flow losses cannot follow DataParallel on {len(model.device_ids)} devices; start one process per device "
            "with torchrun, or show it one device"
        )
    children = dict(model.named_children())
    name = next((name for name in _WRAPPERS if list(children) == [name]), None)
    return model if name is None else unwrapped(children[name])
