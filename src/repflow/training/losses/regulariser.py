"""FlowRegulariser: a loss whose weight rises while a quantity is past its target, and falls while it is not."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from repflow.core import BadSetting, Site, unknown
from repflow.core.quantities import TARGETS
from repflow.training.losses.contrastive import ContrastiveTokens
from repflow.training.losses.diversity import TokenDiversity
from repflow.training.losses.global_variance import VGlob
from repflow.training.losses.local_variance import VLoc
from repflow.training.losses.numerics import Counted, States
from repflow.training.losses.sites import Sites
from repflow.training.losses.term import Term

Quantity = Literal["inter_token_cosine", "contrastive_tokens", "v_loc", "v_glob"]
Keep = Literal["below", "above"]

_TERMS: Mapping[str, Callable[[Sites], Term]] = {
    # With the least margin the hinge is always open: the mean cosine plus one.
    "inter_token_cosine": lambda sites: TokenDiversity(1.0, margin=-1.0, sites=sites),
    "contrastive_tokens": lambda sites: ContrastiveTokens(1.0, sites=sites),
    "v_loc": lambda sites: VLoc(1.0, sites=sites),
    "v_glob": lambda sites: VGlob(1.0, sites=sites),
}


class FlowRegulariser:
    """A flow loss that holds a quantity at a target by dual ascent, for `flow_losses` and `FlowLossTrainer`.

        with flow_losses(model, [FlowRegulariser(target=0.3)]) as extra:
            loss = model(**batch).loss + extra.loss()

    Args:
        target: the value to hold, within the quantity's range.
        of: `inter_token_cosine` (mean cosine of the tokens of a sequence), `contrastive_tokens`, `v_loc` or `v_glob`
            (`rms`), each a mean over sequences and sites, as in the losses of these names.
        sites: where; by default as in the loss of that name.
        keep: `below` the target (it is past when larger) or `above`.
        rate: how much the weight changes a pass, per unit that the quantity is past.
        most: the largest weight; the least is 0.

    Every pass adds `weight * quantity` (`keep="above"`: minus), then the weight becomes
    clip(weight + rate * (quantity - target), 0, most), with the sign turned for `above`: the multiplier of the
    constraint quantity <= target in a Lagrangian whose dual is climbed step by step (Platt and Barr 1988). At its bound
    the target may be out of reach; `weight` says so. A quantity that is not finite leaves the weight as it is. The
    processes of one training climb together, by the mean of their quantities.
    `state_dict` and `load_state_dict` keep the weight; FlowLossTrainer saves it with its checkpoints.
    Raises BadSetting or UnknownName.
    """

    def __init__(
        self,
        target: float,
        *,
        of: Quantity = "inter_token_cosine",
        sites: Sites = None,
        keep: Keep = "below",
        rate: float = 0.01,
        most: float = 1.0,
    ) -> None:
        if of not in _TERMS:
            raise unknown("quantity", of, _TERMS)
        if keep not in get_args(Keep):
            raise unknown("side to keep", keep, get_args(Keep))
        low, high = TARGETS[of]
        if not _is_number(target) or not low <= target <= high:
            raise BadSetting(f"the target of {of} must be from {low:g} to {high:g}, got {target!r}")
        for name, value in (("rate", rate), ("most", most)):
            if not _is_number(value) or value <= 0:
                raise BadSetting(f"the {name} of a regulariser must be a number above 0, got {value!r}")
        self.target, self.of, self.keep, self.rate, self.most = float(target), of, keep, float(rate), float(most)
        self.name = f"held_{of}"
        self._term = _TERMS[of](sites)
        self._sign = 1.0 if keep == "below" else -1.0
        self._offset = 1.0 if of == "inter_token_cosine" else 0.0
        self._multiplier = torch.zeros(())

    @property
    def weight(self) -> Tensor:
        """What the quantity is multiplied by now, a scalar: from 0 to `most`, or to -`most` for `above`."""
        return self._sign * self._multiplier

    def groups(self, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
        return self._term.groups(known)

    def value(self, states: Sequence[States], counted: Counted) -> Tensor:
        return self._term.value(states, counted) - self._offset

    @torch.no_grad()
    def seen(self, value: Tensor) -> None:
        """Climb: called with the quantity of a pass, after its loss was made."""
        self._multiplier = self._multiplier.to(value.device)
        past = self._sign * (_over_processes(value.detach().to(torch.float32)) - self.target)
        step = torch.where(past.isfinite(), self.rate * past, 0.0)
        # In place, so that a captured step goes on with the weight of the one before.
        self._multiplier.copy_((self._multiplier + step).clamp(0.0, self.most))

    def state_dict(self) -> dict[str, Any]:
        """The weight, and what it belongs to."""
        return {"of": self.of, "target": self.target, "multiplier": float(self._multiplier)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a saved weight. Raises BadSetting for the state of another regulariser."""
        if state.get("of") != self.of or state.get("target") != self.target:
            raise BadSetting(
                f"the saved state is of {state.get('of')} at {state.get('target')}, this is {self.of} at {self.target}"
            )
        self._multiplier = torch.tensor(min(max(float(state["multiplier"]), 0.0), self.most))


def _over_processes(value: Tensor) -> Tensor:
    """The mean over the processes of a training."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    value = value.clone()
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
