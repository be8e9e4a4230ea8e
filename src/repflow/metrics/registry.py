"""Every metric by name."""

from collections.abc import Sequence

from repflow.core import unknown
from repflow.metrics.adjacent_cosine import AdjacentCosine
from repflow.metrics.dropped_share import DroppedShare
from repflow.metrics.example_rows import ExampleRows
from repflow.metrics.feature_share import FeatureShare
from repflow.metrics.headline import Headline
from repflow.metrics.inter_token_cosine import InterTokenCosine
from repflow.metrics.metric import Metric, PerSite
from repflow.metrics.norm import Norm
from repflow.metrics.offset_cosine import OffsetCosine
from repflow.metrics.participation_ratio import ParticipationRatio
from repflow.metrics.path import CELLS, Path
from repflow.metrics.renyi2_entropy import Renyi2Entropy
from repflow.metrics.sequence_curvature import SequenceCurvature
from repflow.metrics.token_cka import TokenCka
from repflow.metrics.token_grams import TokenGrams
from repflow.metrics.update_cosine import UpdateCosine
from repflow.metrics.update_ratio import UpdateRatio
from repflow.metrics.von_neumann_entropy import VonNeumannEntropy

SITE_METRICS = (
    AdjacentCosine(),
    UpdateRatio(),
    UpdateCosine(),
    InterTokenCosine(),
    FeatureShare(),
    OffsetCosine(),
    Norm(),
    ParticipationRatio(),
    Renyi2Entropy(),
    SequenceCurvature(),
    DroppedShare(),
    VonNeumannEntropy(),
)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(PerSite(m) for m in SITE_METRICS),
        Path(),
        TokenCka(),
        TokenCka(biased=True),
        ExampleRows(),
        TokenGrams(),
        Headline(),
    )
}

INTERNAL = ("token_grams", "headline")
"""Collected for a comparison or a check, without rows of its own."""

OPTIONAL = ("von_neumann_entropy", "token_cka_biased", *INTERNAL)
"""Not measured unless named: slow, for comparison only, or without rows."""

DEFAULT = tuple(name for name in METRICS if name not in OPTIONAL)


QUANTITIES: dict[str, tuple[str, ...]] = {
    "cka": ("token_cka", "example_cka"),
    **{name: ("path",) for name, _ in CELLS},
    "smoothness": ("adjacent_cosine", "token_cka"),
    "stability": ("adjacent_cosine", "token_cka"),
}
"""Quantities of a run's tables that go by another name than the metrics that give them."""


def measurable(names: Sequence[str]) -> tuple[str, ...]:
    """The metrics behind the names a user gives, those of quantities included. Raises UnknownName."""
    offered = [name for name in METRICS if name not in INTERNAL]
    for name in names:
        if name not in offered and name not in QUANTITIES:
            raise unknown("metric", name, [*offered, *QUANTITIES])
    return tuple(dict.fromkeys(metric for name in names for metric in QUANTITIES.get(name, (name,))))


def named(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names, in the registry's order. Raises UnknownName."""
    for name in names:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return tuple(metric for name, metric in METRICS.items() if name in names)
