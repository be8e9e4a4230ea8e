"""From merged states to rows: values, intervals, and the replicates behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from repflow.core import SHARES, LayerRow, Origin, PairRow, PathRow, Site, interval, proportion
from repflow.metrics import Counts, CrossCka, Metric, Options, example_cka
from repflow.metrics.metric import PerSite
from repflow.metrics.path import CELLS
from repflow.metrics.profile import adjacent, smoothness, stability
from repflow.metrics.states import Means
from repflow.metrics.token_cka import HsicSums
from repflow.studies.kit.record import Tables
from repflow.studies.kit.units import Behind, Rests, Units

Array = np.ndarray


def units_of(row: LayerRow | PathRow) -> int:
    """Units that another interval of a row's replicates may rest on; 0 where the row has none itself."""
    if not np.isfinite(row.ci_low):
        return 0
    return row.n_examples if row.n_units is None else row.n_units


def tables_of(
    origin: Origin,
    sites: Sequence[Site],
    metrics: Sequence[Metric],
    states: Mapping[str, Any],
    options: Options,
    units: Units | None = None,
) -> Tables:
    """Every row that one subject's states on one task give. Without `units` each example is one."""
    tables = Tables()
    counts: Counts = states["counts"]
    behind = Behind(counts.examples, units)
    for metric in metrics:
        state = states[metric.name]
        if isinstance(metric, PerSite):
            _layers(tables, origin, sites, metric, state, counts, options, behind)
        elif metric.name == "path":
            _paths(tables, origin, state, options, behind)
        elif isinstance(state, HsicSums):
            variant = "token_biased" if metric.name.endswith("biased") else "token"
            values = behind.stretched(state.value().numpy(), 1)
            n = behind.units(state.count.numpy(), state.weight.numpy())
            for p, policy in enumerate(options.policies):
                rests = behind.rests(state.count[p], n[p])
                _pairs(tables, origin, sites, variant, policy, values[p], rests)
        elif metric.name == "example_cka":
            found = example_cka(state, options.seed, options.replicates, behind.of)
            if found.blocks:
                rests = behind.rests(found.examples, found.units)
                _pairs(tables, origin, sites, "example", "all", behind.stretched(found.value.numpy(), 0), rests)
    _profiles(tables, origin, sites, states, options, behind)
    return tables


def cross_rows(
    a: Origin,
    b: Origin,
    sites_a: Sequence[Site],
    sites_b: Sequence[Site],
    variant: str,
    policy: str,
    found: CrossCka,
    units: Units | None = None,
) -> list[PairRow]:
    """cka, its null threshold (cka_null) and cka_calibrated for every site of one model with every one of another.

    A calibrated value of 0 has no interval where that of the cka lies below the threshold altogether.
    """
    behind = Behind(found.examples, units)
    rests = behind.rests(found.examples, found.n)
    rows: list[PairRow] = []
    values = {"cka": found.value.numpy(), "cka_calibrated": found.calibrated().numpy()}
    for metric, value in values.items():
        low, high = _limits("cka", np.moveaxis(behind.stretched(value, 0), 0, -1), np.array(rests.n))
        if metric == "cka_calibrated":
            none = high <= 0
            low, high = (np.where(none, np.nan, np.clip(end, 0, 1)) for end in (low, high))
        for i, site_a in enumerate(sites_a):
            for j, site_b in enumerate(sites_b):
                cell = (float(value[0, i, j]), float(low[i, j]), float(high[i, j]))
                rows.append(_pair_row(a, site_a, b, site_b, metric, variant, policy, cell, rests))
    for i, site_a in enumerate(sites_a):
        for j, site_b in enumerate(sites_b):
            cell = (float(found.threshold[i, j]), float("nan"), float("nan"))
            rows.append(_pair_row(a, site_a, b, site_b, "cka_null", variant, policy, cell, rests))
    return rows


def _layers(
    tables: Tables,
    origin: Origin,
    sites: Sequence[Site],
    metric: PerSite,
    state: Means,
    counts: Counts,
    options: Options,
    behind: Behind,
) -> None:
    values, count = behind.stretched(state.value().numpy()), state.count.numpy()
    n = behind.units(count, state.weight.numpy())
    low, high = _limits(metric.name, values, behind.usable(n))
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
                        n_units=int(n[s, v, p]),
                    )
                )
                tables.layer_replicates.append(values[s, v, p, 1:])


def _limits(metric: str, values: Array, units: Array) -> tuple[Array, Array]:
    """Of values [..., 1 + B]."""
    if metric in SHARES:
        return proportion(values[..., 0], values[..., 1:], units)
    low, high = interval(values[..., 1:], units)
    return (np.maximum(low, -1.0), np.minimum(high, 1.0)) if metric.endswith(("cosine", "cka")) else (low, high)


def _paths(tables: Tables, origin: Origin, state: Means, options: Options, behind: Behind) -> None:
    values, count = behind.stretched(state.value().numpy()), state.count.numpy()
    n = behind.units(count, state.weight.numpy())
    for c, (metric, variant) in enumerate(CELLS):
        for p, policy in enumerate(options.policies):
            if count[c, p]:
                rests = behind.rests(count[c, p], n[c, p])
                _path_row(tables, origin, metric, variant, policy, values[c, p], rests)


def _profiles(
    tables: Tables,
    origin: Origin,
    sites: Sequence[Site],
    states: Mapping[str, Any],
    options: Options,
    behind: Behind,
) -> None:
    """smoothness and stability of the profiles of adjacent likeness, the step to the final norm left out."""
    inner = len(sites) - any(site.is_final_norm for site in sites)
    for p, policy in enumerate(options.policies):
        profiles: dict[str, tuple[torch.Tensor, Array, Array]] = {}
        if "token_cka" in states:
            sums: HsicSums = states["token_cka"]
            likeness = adjacent(sums.value()[p])[:, : inner - 1]
            profiles["cka"] = likeness, sums.count[p : p + 1].numpy(), sums.weight[p : p + 1].numpy()
        if "adjacent_cosine" in states:
            means: Means = states["adjacent_cosine"]
            likeness = means.value()[1:inner, 0, p].T
            profiles["adjacent_cosine"] = likeness, means.count[1:, 0, p].numpy(), means.weight[1:, 0, p].numpy()
        for variant, (profile, count, weight) in profiles.items():
            rests = behind.rests(count.min(), behind.units(count, weight).min())
            if rests.examples and profile.shape[1] > 1:
                for metric, of_profile in (("smoothness", smoothness), ("stability", stability)):
                    values = behind.stretched(of_profile(profile).numpy())
                    _path_row(tables, origin, metric, variant, policy, values, rests)


def _path_row(
    tables: Tables, origin: Origin, metric: str, variant: str, policy: str, values: Array, rests: Rests
) -> None:
    low, high = interval(values[1:], rests.n)
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
            n_examples=rests.examples,
            step=origin.step,
            n_units=rests.units,
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
    rests: Rests,
) -> None:
    """Rows for site pairs a <= b of one subject."""
    low, high = _limits("cka", np.moveaxis(values, 0, -1), np.array(rests.n))
    for i, site_a in enumerate(sites):
        for j, site_b in enumerate(sites[i:], start=i):
            cell = (float(values[0, i, j]), float(low[i, j]), float(high[i, j]))
            tables.pairs.append(_pair_row(origin, site_a, origin, site_b, "cka", variant, policy, cell, rests))


def _pair_row(
    a: Origin,
    site_a: Site,
    b: Origin,
    site_b: Site,
    metric: str,
    variant: str,
    policy: str,
    cell: tuple[float, float, float],
    rests: Rests,
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
        n_examples=rests.examples,
        step=a.step,
        n_units=rests.units,
    )
