"""From merged states to rows: values, intervals, and the replicates behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from repflow.core import LayerRow, Origin, PairRow, PathRow, Site, interval
from repflow.metrics import Counts, CrossCka, Metric, Options, example_cka
from repflow.metrics.metric import PerSite
from repflow.metrics.path import CELLS
from repflow.metrics.profile import adjacent, smoothness, stability
from repflow.metrics.states import Means
from repflow.metrics.token_cka import HsicSums

Array = np.ndarray


@dataclass
class Tables:
    """Rows of one run, with the bootstrap replicates of those that can be compared between runs."""

    layers: list[LayerRow] = field(default_factory=list)
    pairs: list[PairRow] = field(default_factory=list)
    paths: list[PathRow] = field(default_factory=list)
    layer_replicates: list[Array] = field(default_factory=list)
    path_replicates: list[Array] = field(default_factory=list)

    def extend(self, other: "Tables") -> None:
        self.layers += other.layers
        self.pairs += other.pairs
        self.paths += other.paths
        self.layer_replicates += other.layer_replicates
        self.path_replicates += other.path_replicates

    def replicates(self) -> dict[str, Array]:
        """[rows, B] float32 by table."""
        kept = {"layers": self.layer_replicates, "paths": self.path_replicates}
        return {name: np.stack(rows).astype(np.float32) for name, rows in kept.items() if rows}


def units_of(row: LayerRow | PathRow) -> int:
    """What was resampled behind a row: its units, or its examples where it does not say."""
    return getattr(row, "n_units", None) or row.n_examples


def tables_of(
    origin: Origin, sites: Sequence[Site], metrics: Sequence[Metric], states: Mapping[str, Any], options: Options
) -> Tables:
    """Every row that one subject's states on one task give."""
    tables = Tables()
    counts: Counts = states["counts"]
    for metric in metrics:
        state = states[metric.name]
        if isinstance(metric, PerSite):
            _layers(tables, origin, sites, metric, state, counts, options)
        elif metric.name == "path":
            _paths(tables, origin, state, options)
        elif isinstance(state, HsicSums):
            variant = "token_biased" if metric.name.endswith("biased") else "token"
            values = state.value().numpy()
            for p, policy in enumerate(options.policies):
                _pairs(tables, origin, sites, variant, policy, values[p], int(state.count[p]))
        elif metric.name == "example_cka":
            values, blocks, _ = example_cka(state, options.seed, options.replicates)
            if blocks:
                _pairs(tables, origin, sites, "example", "all", values.numpy(), blocks, counts.examples)
    _profiles(tables, origin, sites, states, options)
    return tables


def cross_rows(
    a: Origin,
    b: Origin,
    sites_a: Sequence[Site],
    sites_b: Sequence[Site],
    variant: str,
    policy: str,
    found: CrossCka,
    examples: int,
) -> list[PairRow]:
    """cka, its null threshold (cka_null) and cka_calibrated for every site of one model with every one of another."""
    rows: list[PairRow] = []
    values = {"cka": found.value.numpy(), "cka_calibrated": found.calibrated().numpy()}
    for metric, value in values.items():
        low, high = interval(np.moveaxis(value[1:], 0, -1), found.n)
        for i, site_a in enumerate(sites_a):
            for j, site_b in enumerate(sites_b):
                cell = (float(value[0, i, j]), float(low[i, j]), float(high[i, j]))
                rows.append(_pair_row(a, site_a, b, site_b, metric, variant, policy, cell, examples))
    for i, site_a in enumerate(sites_a):
        for j, site_b in enumerate(sites_b):
            cell = (float(found.threshold[i, j]), float("nan"), float("nan"))
            rows.append(_pair_row(a, site_a, b, site_b, "cka_null", variant, policy, cell, examples))
    return rows


def _layers(
    tables: Tables,
    origin: Origin,
    sites: Sequence[Site],
    metric: PerSite,
    state: Means,
    counts: Counts,
    options: Options,
) -> None:
    values, count = state.value().numpy(), state.count.numpy()
    low, high = interval(values[..., 1:], count)
    for s, site in enumerate(sites):
        for v, variant in enumerate(metric.variants):
            for p, policy in enumerate(options.policies):
                if not count[s, v, p]:
                    continue
                tables.layers.append(
                    LayerRow(
                        subject=origin.subject,
                        family=origin.family,
                        init=origin.init,
                        task=origin.task,
                        context=origin.context,
                        site=site.name,
                        site_index=site.index,
                        depth=site.depth,
                        metric=metric.name,
                        variant=variant,
                        tokens=policy,
                        value=float(values[s, v, p, 0]),
                        ci_low=float(low[s, v, p]),
                        ci_high=float(high[s, v, p]),
                        n_examples=int(count[s, v, p]),
                        n_tokens=int(counts.tokens[s, p]),
                        step=origin.step,
                    )
                )
                tables.layer_replicates.append(values[s, v, p, 1:])


def _paths(tables: Tables, origin: Origin, state: Means, options: Options) -> None:
    values, count = state.value().numpy(), state.count.numpy()
    for c, (metric, variant) in enumerate(CELLS):
        for p, policy in enumerate(options.policies):
            if count[c, p]:
                _path_row(tables, origin, metric, variant, policy, values[c, p], int(count[c, p]))


def _profiles(
    tables: Tables, origin: Origin, sites: Sequence[Site], states: Mapping[str, Any], options: Options
) -> None:
    """smoothness and stability of the profiles of adjacent likeness, the step to the final norm left out."""
    inner = len(sites) - any(site.is_final_norm for site in sites)
    for p, policy in enumerate(options.policies):
        profiles: dict[str, tuple[torch.Tensor, int]] = {}
        if "token_cka" in states:
            sums: HsicSums = states["token_cka"]
            profiles["cka"] = adjacent(sums.value()[p])[:, : inner - 1], int(sums.count[p])
        if "adjacent_cosine" in states:
            means: Means = states["adjacent_cosine"]
            profiles["adjacent_cosine"] = means.value()[1:inner, 0, p].T, int(means.count[1:, 0, p].min())
        for variant, (profile, count) in profiles.items():
            if count and profile.shape[1] > 1:
                _path_row(tables, origin, "smoothness", variant, policy, smoothness(profile).numpy(), count)
                _path_row(tables, origin, "stability", variant, policy, stability(profile).numpy(), count)


def _path_row(
    tables: Tables, origin: Origin, metric: str, variant: str, policy: str, values: Array, count: int
) -> None:
    low, high = interval(values[1:], count)
    tables.paths.append(
        PathRow(
            subject=origin.subject,
            task=origin.task,
            context=origin.context,
            metric=metric,
            variant=variant,
            tokens=policy,
            value=float(values[0]),
            ci_low=float(low),
            ci_high=float(high),
            n_examples=count,
            step=origin.step,
        )
    )
    tables.path_replicates.append(values[1:])


def _pairs(
    tables: Tables,
    origin: Origin,
    sites: Sequence[Site],
    variant: str,
    policy: str,
    values: Array,
    units: int,
    examples: int | None = None,
) -> None:
    """Rows for site pairs a <= b of one subject; `units` are what was resampled."""
    low, high = interval(np.moveaxis(values[1:], 0, -1), units)
    for i, site_a in enumerate(sites):
        for j, site_b in enumerate(sites[i:], start=i):
            cell = (float(values[0, i, j]), float(low[i, j]), float(high[i, j]))
            n = units if examples is None else examples
            tables.pairs.append(_pair_row(origin, site_a, origin, site_b, "cka", variant, policy, cell, n))


def _pair_row(
    a: Origin,
    site_a: Site,
    b: Origin,
    site_b: Site,
    metric: str,
    variant: str,
    policy: str,
    cell: tuple[float, float, float],
    examples: int,
) -> PairRow:
    value, low, high = cell
    return PairRow(
        subject_a=a.subject,
        site_a=site_a.name,
        depth_a=site_a.depth,
        subject_b=b.subject,
        site_b=site_b.name,
        depth_b=site_b.depth,
        task=a.task,
        context=a.context,
        metric=metric,
        variant=variant,
        tokens=policy,
        value=value,
        ci_low=low,
        ci_high=high,
        n_examples=examples,
        step=a.step,
    )
