"""Streaming metrics: observe a batch, merge states, read values. One metric a file."""

from repflow.metrics.batch import Batch, Options, pad
from repflow.metrics.bootstrap import REPLICATES, poisson_weights
from repflow.metrics.calibration import Calibration, Moments, calibration_from, merge_moments, moments
from repflow.metrics.cross_cka import CrossCka, cross_example_cka, cross_token_cka
from repflow.metrics.example_rows import example_cka
from repflow.metrics.metric import Metric
from repflow.metrics.registry import DEFAULT, METRICS, measurable, named
from repflow.metrics.session import Counts, Session, merge
from repflow.metrics.states import pack, unpack
from repflow.metrics.view import Rooms, SiteView

__all__ = [
    "DEFAULT",
    "METRICS",
    "REPLICATES",
    "Batch",
    "Calibration",
    "Counts",
    "CrossCka",
    "Metric",
    "Moments",
    "Options",
    "Rooms",
    "Session",
    "SiteView",
    "calibration_from",
    "cross_example_cka",
    "cross_token_cka",
    "example_cka",
    "measurable",
    "merge",
    "merge_moments",
    "moments",
    "named",
    "pack",
    "pad",
    "poisson_weights",
    "unpack",
]
