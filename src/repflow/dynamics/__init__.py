"""How state-space blocks forget: their transitions, what follows from them, and what is measured beside it."""

from repflow.dynamics.bounds import Bound, bounds
from repflow.dynamics.metric import Transitions, transitions_of
from repflow.dynamics.mixers import BlockMixer, mixers, reading
from repflow.dynamics.recurrence import Recurrence
from repflow.dynamics.state import TransitionState
from repflow.dynamics.values import transition_values

__all__ = [
    "BlockMixer",
    "Bound",
    "Recurrence",
    "TransitionState",
    "Transitions",
    "bounds",
    "mixers",
    "reading",
    "transition_values",
    "transitions_of",
]
