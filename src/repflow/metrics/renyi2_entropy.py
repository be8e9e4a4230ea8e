"""renyi2_entropy: the spread of a sequence's spectrum, in nats."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.participation_ratio import participation_ratios
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class Renyi2Entropy:
    """Renyi entropy of order 2 of K / tr(K): the log of participation_ratio per example; in [0, log min(rows, d)]."""

    name: str = "renyi2_entropy"
    variants: tuple[str, ...] = ("uncentred", "centred")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        return {"both": participation_ratios(view)}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del trace
        return {variant: collected["both"][:, i].log() for i, variant in enumerate(self.variants)}
