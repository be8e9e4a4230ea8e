"""How state-space blocks forget: their transitions, what follows from them, and what is measured beside it."""

from repflow.studies.dynamics.ssm.bounds import Bound, bounds
from repflow.studies.dynamics.ssm.metric import Transitions, transitions_of
from repflow.studies.dynamics.ssm.mixers import BlockMixer, mixers, reading
from repflow.studies.dynamics.ssm.observed import LAGS
from repflow.studies.dynamics.ssm.recurrence import Recurrence
from repflow.studies.dynamics.ssm.state import TransitionState
from repflow.studies.dynamics.ssm.values import last_alike, transition_values

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
