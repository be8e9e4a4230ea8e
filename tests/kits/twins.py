"""Slow twins: every quantity from its textbook formula, in float64, one example at a time, all rows in memory.

Nothing here imports the code under test. An example is `x`, a list of [t, d] arrays, one a site, padding cut off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Example:
    """One example's states and tokens."""

    x: list[Array]
    special: Array
    is_final_norm: list[bool]

    def keep(self, site: int, policy: str) -> Array:
        """Which tokens count at one site."""
        if policy == "all":
            return np.ones(len(self.special), dtype=bool)
        if policy == "no_special":
            return ~self.special
        norms = np.sqrt((self.x[site] ** 2).sum(-1))
        return ~self.special & (norms <= 10 * np.median(norms))

    def keep_at(self, sites: Sequence[int], policy: str) -> Array:
        """Which tokens count at all of these sites."""
        return np.all([self.keep(s, policy) for s in sites], axis=0)

    def path_sites(self) -> list[int]:
        return [i for i, final in enumerate(self.is_final_norm) if not final]


def cosine(a: Array, b: Array) -> float:
    with np.errstate(invalid="ignore"):
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def mean(values: Sequence[float]) -> float:
    """Mean of the defined ones."""
    defined = [v for v in values if np.isfinite(v)]
    return float(np.mean(defined)) if defined else np.nan


def angle(a: Array, b: Array) -> float:
    """Angle by the half-angle form, which keeps its digits near 0 and pi where arccos loses them."""
    if not a.any() or not b.any():
        return np.nan
    u, v = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v)))


# Quantities of one site: (example, site, policy) -> value


def adjacent_cosine(e: Example, s: int, policy: str) -> float:
    rows = np.flatnonzero(e.keep_at([s - 1, s], policy)) if s else []
    return mean([cosine(e.x[s - 1][t], e.x[s][t]) for t in rows])


def update_ratio(e: Example, s: int, policy: str) -> float:
    rows = np.flatnonzero(e.keep_at([s - 1, s], policy)) if s else []
    return mean([np.linalg.norm(e.x[s][t] - e.x[s - 1][t]) / np.linalg.norm(e.x[s - 1][t]) for t in rows])


def update_cosine(e: Example, s: int, policy: str) -> float:
    rows = np.flatnonzero(e.keep_at([s - 1, s], policy)) if s else []
    return mean([cosine(e.x[s - 1][t], e.x[s][t] - e.x[s - 1][t]) for t in rows])


def inter_token_cosine(e: Example, s: int, policy: str) -> float:
    rows = e.x[s][e.keep(s, policy)]
    return mean([cosine(a, b) for a, b in combinations(rows, 2)])


def feature_share(k: int) -> Callable[[Example, int, str], tuple[float, float]]:
    """What the k largest features add to the mean cosine over pairs, and the whole of it."""

    def value(e: Example, s: int, policy: str) -> tuple[float, float]:
        unit = [row / np.linalg.norm(row) for row in e.x[s][e.keep(s, policy)] if row.any()]
        if len(unit) < 2:
            return np.nan, np.nan
        parts = np.mean([a * b for a, b in combinations(unit, 2)], axis=0)
        return float(np.sort(parts)[-k:].sum()), float(parts.sum())

    return value


def offset_cosine(k: int) -> Callable[[Example, int, str], float]:
    def value(e: Example, s: int, policy: str) -> float:
        keep, n = e.keep(s, policy), len(e.special)
        if 2 * k > n:
            return np.nan
        return mean([cosine(e.x[s][t], e.x[s][t + k]) for t in range(n - k) if keep[t] and keep[t + k]])

    return value


def norm(reduce: Callable[[Array], float]) -> Callable[[Example, int, str], float]:
    def value(e: Example, s: int, policy: str) -> float:
        rows = e.x[s][e.keep(s, policy)]
        return float(reduce(np.linalg.norm(rows, axis=-1))) if len(rows) else np.nan

    return value


def eigenvalues(e: Example, s: int, policy: str, centred: bool) -> Array:
    """Of the Gram matrix, by the singular values of its rows; none where it is zero."""
    rows = e.x[s][e.keep(s, policy)]
    if centred and len(rows):
        rows = rows - rows.mean(0)
    values = np.linalg.svd(rows, compute_uv=False) ** 2 if len(rows) else np.zeros(0)
    return values if values.sum() > 1e-25 else np.zeros(0)


def participation_ratio(centred: bool) -> Callable[[Example, int, str], float]:
    def value(e: Example, s: int, policy: str) -> float:
        values = eigenvalues(e, s, policy, centred)
        return values.sum() ** 2 / (values**2).sum() if len(values) else np.nan

    return value


def renyi2_entropy(centred: bool) -> Callable[[Example, int, str], float]:
    def value(e: Example, s: int, policy: str) -> float:
        values = eigenvalues(e, s, policy, centred)
        return -np.log(((values / values.sum()) ** 2).sum()) if len(values) else np.nan

    return value


def von_neumann_entropy(centred: bool) -> Callable[[Example, int, str], float]:
    def value(e: Example, s: int, policy: str) -> float:
        values = eigenvalues(e, s, policy, centred)
        shares = values[values > 0] / values.sum() if len(values) else values
        return float(-(shares * np.log(shares)).sum()) if len(values) else np.nan

    return value


def sequence_curvature(e: Example, s: int, policy: str) -> float:
    x, keep = e.x[s], e.keep(s, policy)
    middles = [t for t in range(1, len(keep) - 1) if keep[t - 1] and keep[t] and keep[t + 1]]
    return mean([angle(x[t] - x[t - 1], x[t + 1] - x[t]) for t in middles])


def dropped_share(e: Example, s: int, policy: str) -> float:
    return np.nan if policy == "all" else float(1 - e.keep(s, policy).mean())


SITE_TWINS: dict[str, dict[str, Callable[[Example, int, str], float]]] = {
    "adjacent_cosine": {"raw": adjacent_cosine},
    "update_ratio": {"raw": update_ratio},
    "update_cosine": {"raw": update_cosine},
    "inter_token_cosine": {"raw": inter_token_cosine},
    "offset_cosine": {f"k={k}": offset_cosine(k) for k in (1, 2, 4, 8)},
    "norm": {"mean": norm(np.mean), "median": norm(np.median), "max": norm(np.max)},
    "participation_ratio": {"uncentred": participation_ratio(False), "centred": participation_ratio(True)},
    "renyi2_entropy": {"uncentred": renyi2_entropy(False), "centred": renyi2_entropy(True)},
    "von_neumann_entropy": {"uncentred": von_neumann_entropy(False), "centred": von_neumann_entropy(True)},
    "sequence_curvature": {"raw": sequence_curvature},
    "dropped_share": {"raw": dropped_share},
}
"""By metric and variant; `centred` and `standardised` variants are `raw` on rows centred or standardised beforehand."""


# Quantities of a token's path h_0 .. h_L


def path(h: Array, metric: str, scale: str) -> float:
    """One token's path metric from its points h [L+1, d]."""
    if scale == "rms":
        h = h / np.sqrt((h**2).sum(-1).mean())
    if scale == "unit":
        h = h / np.linalg.norm(h, axis=-1, keepdims=True)
    steps = [b - a for a, b in pairwise(h)]
    energy = sum(float(s @ s) for s in steps)
    length = sum(float(np.linalg.norm(s)) for s in steps)
    match metric:
        case "path_energy":
            return energy
        case "path_length":
            return length
        case "v_loc":
            return energy / len(steps)
        case "v_glob":
            # the spread about the mean, by the mean squared distance of all pairs
            pairs = [float((a - b) @ (a - b)) for a in h for b in h]
            return sum(pairs) / (2 * len(h) ** 2)
        case "tortuosity":
            straight = float(np.linalg.norm(h[-1] - h[0]))
            return length / straight if straight else np.nan
        case "depth_curvature":
            return mean([angle(a, b) for a, b in pairwise(steps)])
    raise AssertionError(metric)


def path_of_example(e: Example, metric: str, scale: str, policy: str) -> float:
    sites = e.path_sites()
    tokens = np.flatnonzero(e.keep_at(sites, policy))
    return mean([path(np.stack([e.x[s][t] for s in sites]), metric, scale) for t in tokens])


# CKA


def hsic1(x: Array, y: Array) -> float:
    """HSIC_1 of Song et al. 2012, by its three terms, from rows about their mean (which it is blind to)."""
    n = len(x)
    K, L = ((r - r.mean(0)) @ (r - r.mean(0)).T for r in (x, y))
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    terms = (
        np.trace(K @ L) + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ K @ L @ one)
    )
    return float(terms / (n * (n - 3)))


def hsic0(x: Array, y: Array) -> float:
    """The biased HSIC, by the cross-covariance: ||X'Y||_F^2 / (n-1)^2."""
    x, y = x - x.mean(0), y - y.mean(0)
    return float(((x.T @ y) ** 2).sum() / (len(x) - 1) ** 2)


def cka(blocks: Sequence[tuple[Array, Array]], hsic: Callable[[Array, Array], float] = hsic1) -> float:
    """Ratio of HSICs summed over blocks of rows at two sites."""
    cross = sum(hsic(x, y) for x, y in blocks)
    own = sum(hsic(x, x) for x, _ in blocks) * sum(hsic(y, y) for _, y in blocks)
    return cross / np.sqrt(own) if own > 0 else np.nan
