"""One forward pass as the losses see it: the states at their sites, and which tokens count."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from repflow.capture import Reading, Tokens, tokens_of
from repflow.capture.given import given
from repflow.core import ModelProblem, Site
from repflow.models.embeddings import embedding_of


@dataclass
class ForwardPass:
    """What a pass was given and what it has shown so far."""

    gradients: bool
    """Whether the pass builds a graph."""
    running: bool = True
    _called: dict[int, tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)
    """The modules around the sites by their depth, the outermost first, and what they were called with."""
    _states: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    _versions: dict[str, int] = field(default_factory=dict[str, int])
    _tokens: Tokens | None = None

    def calls(self, level: int) -> bool:
        """Whether a module at this depth has been called in the pass."""
        return level in self._called

    @property
    def outermost(self) -> int:
        """The depth of the module whose call the pass is."""
        return next(iter(self._called))

    def call(self, level: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module around the sites is called."""
        self._called[level] = (module, args, kwargs)

    def see(self, site: Site, states: Tensor) -> None:
        """Take note of the states at a site; the tensor is the model's own, with its graph."""
        # A checkpointed block runs again in the backward pass, when no pass of the model is under way.
        if not self.running:
            return
        if site.name in self._states:
            raise ModelProblem(
                f"one forward pass reached the site {site.name} twice, as looped and weight-shared models do; give "
                "taps of modules it calls once"
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
                f"the forward pass went by without reaching the site {', '.join(missed)}; give taps of modules that "
                "every pass calls (no layer drop), and enter flow_losses before a compiled model is first called"
            )
        changed = [site.name for site in sites if _version(self._states[site.name]) != self._versions[site.name]]
        if changed:
            raise ModelProblem(
                f"the model changed the states at the site {', '.join(changed)} in place after the site; choose other "
                "sites, or a block that does not write into its input"
            )
        return [self._states[site.name] for site in sites]

    def tokens(self, like: Tensor, model: nn.Module, reading: Reading) -> Tokens:
        """Which of the states [n, t, d] are tokens, and of which sequence."""
        if self._tokens is not None:
            return self._tokens
        called = [given(*call) for call in reversed(self._called.values())]
        with torch.no_grad():
            self._tokens = found = tokens_of(called, like.shape[0], like.shape[1], reading, embedding_of(model))
        return found


def _version(states: Tensor) -> int:
    """How often the tensor was written to; compiled code hands out copies, and inference tensors do not count."""
    return 0 if torch.compiler.is_compiling() or states.is_inference() else states._version
