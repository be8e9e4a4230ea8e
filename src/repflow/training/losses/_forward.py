"""One forward pass as the losses see it: the states at their sites, and which tokens count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from repflow.core import BadSetting, ModelProblem, Site
from repflow.training.losses._numerics import Counted


@dataclass
class ForwardPass:
    """What a pass was given and what it has shown so far."""

    given: Mapping[str, Any]
    """The model's inputs by name."""
    gradients: bool
    """Whether the pass builds a graph."""
    running: bool = True
    _states: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    _versions: dict[str, int] = field(default_factory=dict[str, int])

    def see(self, site: Site, states: Tensor) -> None:
        """Take note of the states at a site; the tensor is the model's own, with its graph."""
        # A checkpointed block runs again in the backward pass, when no pass of the model is under way.
        if not self.running:
            return
        if site.name in self._states:
            raise ModelProblem(
                f"one forward pass reached the site {site.name} twice; give taps of modules it calls once"
            )
        if self.gradients and not torch.is_grad_enabled():
            raise ModelProblem(
                f"the site {site.name} is computed without gradients, as gradient checkpointing does with "
                "use_reentrant=True; set use_reentrant=False"
            )
        self._states[site.name] = states
        self._versions[site.name] = _version(states)

    def at(self, sites: Sequence[Site]) -> list[Tensor]:
        """The states at these sites. Raises ModelProblem if one was not reached, or was changed since."""
        missed = [site.name for site in sites if site.name not in self._states]
        if missed:
            raise ModelProblem(
                f"the forward pass went by without reaching the site {', '.join(missed)}; give taps of modules it "
                "calls, and enter flow_losses before a compiled model is first called"
            )
        changed = [site.name for site in sites if _version(self._states[site.name]) != self._versions[site.name]]
        if changed:
            raise ModelProblem(
                f"the model changed the states at the site {', '.join(changed)} in place after the site; choose other "
                "sites, or a block that does not write into its input"
            )
        return [self._states[site.name] for site in sites]

    def counted(self, like: Tensor, special: Tensor) -> Counted:
        """True at tokens that are neither padding, by `attention_mask`, nor among the special ids, by `input_ids`."""
        n, t = like.shape[:2]
        counted = torch.ones(n, t, dtype=torch.bool, device=like.device)
        if self.given.get("attention_mask") is not None:
            counted &= _last(self.given, "attention_mask", n, t).to(like.device) != 0
        if len(special):
            ids = _last(self.given, "input_ids", n, t).to(like.device)
            counted &= ~torch.isin(ids, special.to(like.device))
        return counted


def _last(given: Mapping[str, Any], name: str, n: int, t: int) -> Tensor:
    """The entries [n, t] of this pass's tokens; a mask may also cover cached tokens before them."""
    value = given.get(name)
    shape = list(value.shape) if isinstance(value, Tensor) else value
    if not isinstance(value, Tensor) or value.ndim != 2 or len(value) != n or value.shape[1] < t:
        raise BadSetting(f"flow losses read {name} of shape [{n}, {t}] or longer, as the states are, got {shape}")
    return value[:, value.shape[1] - t :]


def _version(states: Tensor) -> int:
    """How often the tensor was written to; compiled code hands out copies, and inference tensors do not count."""
    return 0 if torch.compiler.is_compiling() or states.is_inference() else states._version
