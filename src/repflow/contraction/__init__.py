"""How state-space blocks forget: their transitions, what follows from them, and what is measured beside it."""

from repflow.contraction._observed import LAGS
from repflow.contraction.bounds import Bound, bounds
from repflow.contraction.metric import Transitions, transitions_of
from repflow.contraction.mixers import BlockMixer, mixers, reading
from repflow.contraction.recurrence import Recurrence
from repflow.contraction.state import TransitionState
from repflow.contraction.values import last_alike, transition_values

__all__ = [
    "LAGS",
    "BlockMixer",
    "Bound",
    "Recurrence",
    "TransitionState",
    "Transitions",
    "bounds",
    "last_alike",
    "mixers",
    "reading",
    "transition_values",
    "transitions_of",
]
