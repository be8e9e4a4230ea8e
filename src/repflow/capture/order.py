"""Every site once a pass, in the order in which the pass is to reach them."""

from collections.abc import Sequence

from repflow.core import ModelProblem, Site, Tap
from repflow.models.finding import called_again


class Order:
    """Checks the sites of one pass as they come. `begin` starts anew."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self._taps = tuple(taps)
        self._places = {tap.site.name: place for place, tap in enumerate(self._taps)}
        self._reached = 0

    def begin(self) -> None:
        """A pass begins."""
        self._reached = 0

    def take(self, site: Site) -> None:
        """The pass reaches a site. Raises ModelProblem for one that it has reached before, or that is not due yet."""
        place = self._places[site.name]
        if place < self._reached:
            module = self._taps[place].module
            raise called_again(module or "the model", f"the pass came to the site {site.name} a second time")
        if place > self._reached:
            raise ModelProblem(
                f"the forward pass reached the site {site.name} where {self._taps[self._reached].site.name} was due: "
                "blocks skipped (layer drop, early exit) or called in another order; name sites in the order in which "
                "every pass reaches them"
            )
        self._reached += 1

    def end(self) -> None:
        """The pass is over. Raises ModelProblem for sites it did not reach."""
        missed = ", ".join(tap.site.name for tap in self._taps[self._reached :])
        if missed:
            raise ModelProblem(
                f"the forward pass went by without reaching the site {missed}: blocks skipped (layer drop, early "
                "exit), or modules it never calls; name sites that every pass reaches"
            )
