"""Reading sites from a running model, and which of its states are tokens."""

from repflow.capture.given import Given
from repflow.capture.handover import Handover
from repflow.capture.order import Order
from repflow.capture.padding import Reading, reading_of
from repflow.capture.passes import Listener, followed, in_backward, path_to
from repflow.capture.taps import Sink, tapped
from repflow.capture.tokens import Tokens, tokens_of
from repflow.capture.uncompiled import uncompiled

__all__ = [
    "Given",
    "Handover",
    "Listener",
    "Order",
    "Reading",
    "Sink",
    "Tokens",
    "followed",
    "in_backward",
    "path_to",
    "reading_of",
    "tapped",
    "tokens_of",
    "uncompiled",
]
