"""From trained probes to rows: values, intervals, and what stands beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repflow.core import Estimate, Site, SubjectFacts
from repflow.studies.probe.aims import Aim
from repflow.studies.probe.answers import Limits, limits
from repflow.studies.probe.linear import DepthSummary, Peak, Predictions, Scores, SiteSummary
from repflow.studies.probe.rows import ProbeClassRow, ProbeRow, ProbeSummaryRow

NONE: Limits = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class About:
    """What all rows of one reading of one subject share."""

    facts: SubjectFacts
    baseline_of: str | None
    task: str
    context: int
    sites: Sequence[Site]
    seed: int


def probe_rows(
    about: About, aim: Aim, predictions: Predictions, found: SiteSummary, lens: Scores | None = None
) -> list[ProbeRow]:
    """One row a site."""
    facts, place, target = about.facts, aim.place, aim.target
    return [
        ProbeRow(
            subject=facts.label,
            family=facts.family,
            init=facts.init,
            task=about.task,
            context=about.context,
            position=place.name,
            share=place.share,
            site=site.name,
            site_index=site.index,
            depth=site.depth,
            **dict(zip(("accuracy", "ci_low", "ci_high"), limits(found.accuracy, i), strict=True)),
            **_columns("control", _at(found.control, i)),
            **_columns("capacity", _at(found.capacity, i)),
            **_columns("selectivity", _at(found.selectivity, i)),
            **_columns("abs_error", limits(found.abs_error, i) if target == "position" else NONE),
            chance=found.chance,
            majority=found.majority,
            n_train=found.n_train,
            n_test=found.n_test,
            n_groups=found.n_groups,
            classes=predictions.classes,
            seeds=len(predictions.seeds),
            solver=predictions.solver,
            strength=math.nan if predictions.strength is None else float(np.median(predictions.strength[:, i])),
            baseline_of=about.baseline_of,
            target=target,
            **_columns("lens", _at(lens, i)),
        )
        for i, site in enumerate(about.sites)
    ]


def class_rows(about: About, aim: Aim, found: SiteSummary) -> list[ProbeClassRow]:
    """One row a site and class."""
    per_class = found.by_class
    return [
        ProbeClassRow(
            about.facts.label,
            about.task,
            about.context,
            aim.place.name,
            site.name,
            site.index,
            site.depth,
            c,
            *(float(values[i, c]) for values in (per_class.value, per_class.ci_low, per_class.ci_high)),
            target=aim.target,
        )
        for i, site in enumerate(about.sites)
        for c in range(per_class.value.shape[1])
    ]


def summary_row(
    about: About,
    aim: Aim,
    predictions: Predictions,
    found: SiteSummary,
    depth: DepthSummary,
    length: Limits,
    answered: Limits,
) -> ProbeSummaryRow:
    """The peak, the end of the model, and what a guess would reach."""
    facts, norm, peak = about.facts, depth.final_norm, depth.peak
    numbers = {
        "peak": _of(peak and peak.accuracy),
        "highest": _of(depth.highest),
        "embed": limits(found.accuracy, 0),
        "last": _of(depth.last.accuracy),
        "gap": _of(depth.last.points),
        "relative_gap": _of(depth.last.relative),
        "final_norm": _of(norm and norm.accuracy),
        "norm_gap": _of(norm and norm.points),
        "relative_norm_gap": _of(norm and norm.relative),
        "length": length,
        "answered": answered,
        "capacity": NONE if peak is None else _at(found.capacity, about.sites.index(peak.site)),
    }
    columns: dict[str, Any] = {
        column: value for name, estimate in numbers.items() for column, value in _columns(name, estimate).items()
    }
    return ProbeSummaryRow(
        subject=facts.label,
        family=facts.family,
        init=facts.init,
        task=about.task,
        context=about.context,
        position=aim.place.name,
        solver=predictions.solver,
        **_places(peak),
        chance=found.chance,
        majority=found.majority,
        n_examples=len(predictions.labels),
        n_groups=len(np.unique(predictions.groups)),
        baseline_of=about.baseline_of,
        verdict=depth.verdict,
        n_sites=depth.n_sites,
        n_units=found.n_groups,
        target=aim.target,
        **columns,
    )


def _places(peak: Peak | None) -> dict[str, Any]:
    """Where the peak is; nothing without one."""
    site, first, last = (None, None, None) if peak is None else (peak.site, peak.first, peak.last)
    return {
        "peak_site": site and site.name,
        "peak_site_index": site and site.index,
        "peak_depth": math.nan if site is None else site.depth,
        "peak_from": first and first.name,
        "peak_to": last and last.name,
        "peak_depth_low": math.nan if first is None else first.depth,
        "peak_depth_high": math.nan if last is None else last.depth,
    }


def _of(estimate: Estimate | None) -> Limits:
    return NONE if estimate is None else (estimate.value, estimate.ci_low, estimate.ci_high)


def _at(scores: Scores | None, site: int) -> Limits:
    return NONE if scores is None else limits(scores, site)


def _columns(name: str, values: Limits) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
