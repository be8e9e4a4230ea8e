"""Reading sites from a running model."""

from repflow.capture.taps import Sink, tapped

__all__ = ["Sink", "tapped"]
