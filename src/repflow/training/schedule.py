"""At which optimiser steps a model in training is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from repflow.core import BadSetting


@dataclass(frozen=True)
class Schedule:
    """Every so many steps, or at steps by name, or, with neither, at 0, 1, 2, 4, 8, ...; the last step too."""

    every: int | None = None
    steps: tuple[int, ...] | None = None
    """Exactly these; the last step of the training only if it is among them."""

    def __post_init__(self) -> None:
        if self.every is not None and self.steps is not None:
            raise BadSetting(f"every={self.every} and steps={list(self.steps)} exclude each other; give one of them")
        if self.every is not None and self.every < 1:
            raise BadSetting(f"every must be a number of steps of 1 or more, got {self.every}")
        if self.steps is not None and (not self.steps or min(self.steps) < 0):
            raise BadSetting(f"steps must be one or more whole numbers of 0 or more, got {list(self.steps)}")

    @classmethod
    def of(cls, every: int | None, steps: Sequence[int] | None) -> "Schedule":
        return cls(every, None if steps is None else tuple(sorted(set(steps))))

    @property
    def takes_last(self) -> bool:
        """Whether the step a training ends at is measured, wherever it is."""
        return self.steps is None

    def until(self, last: int) -> tuple[int, ...]:
        """The steps up to `last`, ascending. Raises BadSetting when there is none."""
        if self.steps is not None:
            found = tuple(step for step in self.steps if step <= last)
            if not found:
                raise BadSetting(f"the training ends at step {last}, before the first of steps={list(self.steps)}")
            return found
        between = range(0, last, self.every) if self.every else (0, *(2**i for i in range(last.bit_length())))
        return tuple(sorted({step for step in between if step < last} | {last}))
