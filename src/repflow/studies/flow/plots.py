"""Figures of a run's flow for notebooks."""

from collections.abc import Callable
from functools import partial

from repflow.core.quantities import quantity
from repflow.drawing.choice import chosen, first, rows_of, scene_of, subject_of
from repflow.drawing.curves import curves
from repflow.drawing.heatmap import cka_heatmap, cka_rows
from repflow.drawing.heatmap import offset_heatmap as offsets
from repflow.drawing.plotly import Figure
from repflow.drawing.source import Source
from repflow.studies.flow.paths import path_dots


def layers(
    source: Source,
    metric: str,
    *,
    task: str | None = None,
    context: int | None = None,
    variant: str | None = None,
    tokens: str | None = None,
) -> Figure:
    """Any metric of `run.layers` against relative depth."""
    scene = scene_of(source, task, context)
    kind, policy = chosen(rows_of(source.layers, scene, metric=metric), variant, tokens)
    return curves(source, scene, quantity(metric), kind, policy, height=420)


def offset_profile(
    source: Source,
    subject: str | None = None,
    *,
    task: str | None = None,
    context: int | None = None,
    tokens: str | None = None,
) -> Figure:
    """Cosine of tokens k places apart, sites against k, for one subject."""
    scene, name = scene_of(source, task, context), subject_of(source, subject)
    policy = first(rows_of(source.layers, scene, metric="offset_cosine", subject=name), "tokens", tokens)
    return offsets(source, scene, name, policy, height=380, scale=True)


def cka(
    source: Source,
    subject: str | None = None,
    other: str | None = None,
    *,
    metric: str = "cka",
    task: str | None = None,
    context: int | None = None,
    variant: str | None = None,
    tokens: str | None = None,
) -> Figure:
    """CKA between a subject's sites, or with `other` between the sites of two subjects."""
    scene, a = scene_of(source, task, context), subject_of(source, subject)
    b = a if other is None else subject_of(source, other)
    rows = rows_of(source.pairs, scene, metric=metric)
    ends = rows[["subject_a", "subject_b"]]
    met = rows[ends.isin([a, b]).all(axis=1) & ((ends["subject_a"] == ends["subject_b"]) == (a == b))]
    found = cka_rows(source, scene, a, b, metric, *chosen(met, variant, tokens))
    return cka_heatmap(found, a if a != b else "", b if a != b else "", height=480, scale=True)


def paths(
    source: Source,
    *,
    task: str | None = None,
    context: int | None = None,
    variant: str = "rms",
    tokens: str | None = None,
) -> Figure:
    """Path metrics with intervals, a panel a metric; variants rms, raw, unit."""
    scene = scene_of(source, task, context)
    return path_dots(source, scene, variant, first(rows_of(source.paths, scene), "tokens", tokens))


def _curve(metric: str, said: str) -> Callable[..., Figure]:
    drawn = partial(layers, metric=metric)
    drawn.__doc__ = said
    return drawn


PLOTS: dict[str, Callable[..., Figure]] = {
    "inter_token_cosine": _curve("inter_token_cosine", "How alike the tokens of a sequence are, by depth."),
    "adjacent_cosine": _curve("adjacent_cosine", "Cosine between each site's state and the one before it."),
    "update_ratio": _curve("update_ratio", "Length of each block's update beside the state it is added to."),
    "norms": _curve("norm", "Norm of the states, logarithmic; variants median, mean, max."),
    "participation_ratio": _curve("participation_ratio", "Effective number of directions the tokens use."),
    "layers": layers,
    "offset_profile": offset_profile,
    "cka": cka,
    "paths": paths,
}
