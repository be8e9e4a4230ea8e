"""How state-space blocks forget: their transitions, what follows from them, and what is measured beside it."""

from repflow.dynamics.mixers import BlockMixer, mixers, reading
from repflow.dynamics.recurrence import Recurrence

__all__ = ["BlockMixer", "Recurrence", "mixers", "reading"]
