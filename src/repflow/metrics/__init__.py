"""Streaming metrics: observe a batch, merge states, read values. One metric a file."""

from repflow.metrics import headline
from repflow.metrics.batch import Batch, Options, pad
from repflow.metrics.bootstrap import REPLICATES, poisson_weights, units_behind
from repflow.metrics.calibration import Calibration, Moments, calibration_from, merge_moments, moments
from repflow.metrics.cross_cka import CrossCka, cross_example_cka, cross_token_cka
from repflow.metrics.example_rows import example_cka
from repflow.metrics.headline import Course
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
    "Course",
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
    "headline",
    "measurable",
    "merge",
    "merge_moments",
    "moments",
    "named",
    "pack",
    "pad",
    "poisson_weights",
    "units_behind",
    "unpack",
]
