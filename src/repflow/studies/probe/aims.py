"""What the probes of a reading are for: a place of the prompt, and what is looked for there."""

from dataclasses import dataclass

from repflow.core.places import Place


@dataclass(frozen=True, slots=True)
class Aim:
    """One probe of each site."""

    place: Place
    target: str
    """`position` or `value`."""

    @property
    def name(self) -> str:
        """Names its part of the checkpoint."""
        return self.place.name if self.target == "position" else f"{self.place.name}-{self.target}"
