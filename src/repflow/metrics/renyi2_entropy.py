"""renyi2_entropy: the spread of a sequence's spectrum, in nats."""

from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.participation_ratio import participation_ratios
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class Renyi2Entropy:
    """Renyi entropy of order 2 of K / tr(K): the log of participation_ratio per example; in [0, log min(rows, d)]."""

    name: str = "renyi2_entropy"
    variants: tuple[str, ...] = ("uncentred", "centred")

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        return {variant: ratio.log() for variant, ratio in participation_ratios(view).items()}
