"""Where in depth the answer is best readable, and how much of it is gone at the end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repflow.core import BadSetting, Estimate, Site, interval, proportion, proportion_difference
from repflow.studies.probe.linear.predictions import Predictions
from repflow.studies.probe.linear.resampling import GroupBootstrap
from repflow.studies.probe.linear.summaries import accuracy_replicates, majority
from repflow.studies.probe.verdicts import ABOVE, probe_verdict


@dataclass(frozen=True, slots=True)
class Peak:
    """The best site of the residual stream (`embed` and the blocks)."""

    site: Site
    """The shallowest of the sites of greatest accuracy."""
    first: Site
    last: Site
    """The 95% interval of its place: of the sites that are best, or among the best, in the bootstrap's replicates."""
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class FinalGap:
    """A site at the end of the model, and what is lost there against the peak."""

    site: Site
    accuracy: Estimate
    points: Estimate | None
    """Peak less this site's accuracy, as a share of 1; None without a peak."""
    relative: Estimate | None
    """The same as a share of the peak."""


@dataclass(frozen=True, slots=True)
class DepthSummary:
    """What may be said of a probe over depth."""

    verdict: str
    """`above chance`, `not above chance` or `no interval`: see `repflow.studies.probe.verdicts`."""
    highest: Estimate
    """The highest accuracy over the residual stream; its interval takes its being chosen into account."""
    n_sites: int
    """Sites it was chosen among."""
    peak: Peak | None
    """Where that is; None unless it is above chance: of noise the highest site means nothing."""
    last: FinalGap
    """At the last block."""
    final_norm: FinalGap | None
    """At the output of the final norm, which is never the peak."""


def summarise_depth(predictions: Predictions, sites: Sequence[Site], seed: int = 0) -> DepthSummary:
    """Peak and final-layer gap of probes at the sites given, in order of depth. `seed` keys the bootstrap.

    The highest accuracy is chosen on the data that score it, so it is on average too high where several sites are
    nearly alike: by 3 points in a simulation of 14 equal sites and 200 groups of 4 examples. The value is nevertheless
    the plain one, as published tables give it; the interval takes the choice into account. Its lower limit is the value
    less the 97.5% quantile, over the replicates, of the largest deviation over all sites, and never above that of one
    site's share. Of probes on noise it lies above chance in at most 2.5% of cases, where the plain interval of the best
    of 32 sites does in up to 44% (simulated).
    The lower limit of the gap between the peak and the end likewise, over the contenders, the sites that are best in at
    least one replicate. A limit below 0 says that no gap is shown.
    Raises BadSetting unless the sites are those of the predictions.
    """
    bootstrap = GroupBootstrap(predictions.groups, seed)
    accuracy = accuracy_replicates(predictions, bootstrap)
    if len(sites) != len(accuracy):
        raise BadSetting(
            f"{len(sites)} sites are named, the predictions are of {len(accuracy)}; name each of them once"
        )
    tested = (~predictions.train).sum(0)
    counts = _Counts(int((tested > 0).sum()), int(bootstrap.units(tested)))
    stream = [i for i, site in enumerate(sites) if not site.is_final_norm]
    norm = next((i for i, site in enumerate(sites) if site.is_final_norm), None)
    curve = accuracy[stream]
    highest = _highest(curve, counts)
    verdict = probe_verdict(highest.ci_low, predictions.chance, majority(predictions))
    above = verdict == ABOVE
    return DepthSummary(
        verdict=verdict,
        highest=highest,
        n_sites=len(stream),
        peak=_peak([sites[i] for i in stream], curve, highest, counts) if above else None,
        last=_end(sites[stream[-1]], curve[-1], curve if above else None, counts),
        final_norm=None if norm is None else _end(sites[norm], accuracy[norm], curve if above else None, counts),
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    examples: int
    groups: int


def _highest(curve: np.ndarray, counts: _Counts) -> Estimate:
    best = curve[:, 0].argmax()
    value, replicates = float(curve[best, 0]), curve[best, 1:]
    deviations = (curve[:, 1:] - curve[:, :1]).max(0)
    own_low, high = proportion(value, replicates, counts.groups)
    low = np.minimum(value - interval(deviations, counts.groups)[1], own_low)
    return Estimate(value, float(np.maximum(low, 0)), float(high), counts.examples)


def _peak(sites: Sequence[Site], curve: np.ndarray, highest: Estimate, counts: _Counts) -> Peak:
    """Sites that tie in a replicate are all of the best in it."""
    tied = curve[:, 1:] >= curve[:, 1:].max(0) - 1e-12
    ends = tied.argmax(0), len(sites) - 1 - tied[::-1].argmax(0)
    first = int(np.floor(interval(ends[0].astype(np.float64), counts.groups)[0]))
    last = int(np.ceil(interval(ends[1].astype(np.float64), counts.groups)[1]))
    return Peak(sites[int(curve[:, 0].argmax())], sites[first], sites[last], highest)


def _end(site: Site, last: np.ndarray, curve: np.ndarray | None, counts: _Counts) -> FinalGap:
    low, high = proportion(last[0], last[1:], counts.groups)
    accuracy = Estimate(float(last[0]), float(low), float(high), counts.examples)
    if curve is None:
        return FinalGap(site, accuracy, None, None)
    points = _gap(curve, last, counts)
    return FinalGap(site, accuracy, points, _relative(curve, last, points, counts))


def _gap(curve: np.ndarray, last: np.ndarray, counts: _Counts) -> Estimate:
    best, chosen = _of_the_best(curve - last, curve, counts)
    peak = curve[best]
    low, high = proportion_difference(last[0], last[1:], peak[0], peak[1:], counts.groups)
    return Estimate(float(peak[0] - last[0]), float(np.minimum(chosen, low)), float(high), counts.examples)


def _relative(curve: np.ndarray, last: np.ndarray, points: Estimate, counts: _Counts) -> Estimate:
    """Of the ratio, and no narrower than the gap's own as a share of the peak."""
    # A share of nothing is none: left out, not infinite.
    ratio = np.divide(curve - last, curve, out=np.full_like(curve, np.nan), where=curve > 0)
    best, low = _of_the_best(ratio, curve, counts)
    peak, high = float(curve[best, 0]), float(interval(ratio[best, 1:], counts.groups)[1])
    return Estimate(
        points.value / peak, min(low, points.ci_low / peak), max(high, points.ci_high / peak), counts.examples
    )


def _of_the_best(values: np.ndarray, curve: np.ndarray, counts: _Counts) -> tuple[int, float]:
    """The best site of the curve, and the lower limit of values [S, 1 + replicates] there."""
    best = int(curve[:, 0].argmax())
    contenders = np.unique([best, *curve[:, 1:].argmax(0)])
    deviations = (values[contenders, 1:] - values[contenders, :1]).max(0)
    return best, float(values[best, 0]) - float(interval(deviations, counts.groups)[1])
