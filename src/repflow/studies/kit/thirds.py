"""A quantity in the early, middle and late third of depth, step by step of training or of models as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.core import SHARES, interval, proportion, proportion_difference
from repflow.store import steps_of, usable_units

if TYPE_CHECKING:
    import pandas as pd

THIRDS = ("early", "middle", "late")
"""Blocks at depths in (0, 1/3], (1/3, 2/3] and (2/3, 1]; the embedding and the final norm are in none."""

_CURVE = ["subject", "task", "context", "variant", "tokens", "third"]


@dataclass(frozen=True)
class Thirds:
    """Means over the sites of a third."""

    frame: "pd.DataFrame"
    """subject, task, context, variant, tokens, third, step (of `thirds`), value, ci_low, ci_high, n_examples, n_units
    (those an interval may rest on), sites."""
    replicates: np.ndarray | None
    """[rows, B] bootstrap replicates of `value`, or None where the run kept none; then the intervals are NaN."""
    share: bool = False
    """Whether the values lie in [0, 1] and may be 0 or 1 throughout."""


def thirds(layers: "pd.DataFrame", replicates: Mapping[str, np.ndarray], metric: str = "inter_token_cosine") -> Thirds:
    """The mean of `metric` over the blocks of each third at every step of training.

    Args:
        layers: a run's whole `layers` table, in the order of the file.
        replicates: the run's replicates; the interval of a mean over sites is that of the replicates' means.

    A third with an undefined site is undefined. Rows without a step are left out.
    """
    steps = steps_of(layers)
    rows = layers.assign(step=np.where(np.isfinite(steps), steps, 0).astype(np.int64))
    found = _by_third(rows, np.isfinite(steps), replicates, metric, [*_CURVE, "step"])
    order = found.frame.sort_values("step", kind="stable").index.to_numpy()
    drawn = None if found.replicates is None else found.replicates[order]
    return replace(found, frame=found.frame.loc[order].reset_index(drop=True), replicates=drawn)


def third_means(
    layers: "pd.DataFrame", replicates: Mapping[str, np.ndarray], metric: str = "inter_token_cosine"
) -> Thirds:
    """The mean of `metric` over the blocks of each third, of models as they stand; without the column step.

    Arguments as for `thirds`. Rows with a step are left out.
    """
    return _by_third(layers, ~np.isfinite(steps_of(layers)), replicates, metric, _CURVE)


def _by_third(
    layers: "pd.DataFrame", wanted: np.ndarray, replicates: Mapping[str, np.ndarray], metric: str, columns: list[str]
) -> Thirds:
    """Means of a metric over the blocks of each third of the wanted rows, a line for every value of the columns."""
    wanted = wanted & (layers["metric"] == metric).to_numpy() & _is_block(layers)
    rows = layers[wanted]
    rows = rows.assign(third=_third_of(rows["depth"]), n_units=usable_units(rows))
    groups = rows.groupby(columns, sort=False, observed=True)
    least = {"n_examples": ("n_examples", "min"), "n_units": ("n_units", "min")}
    frame = groups.agg(**least, sites=("site", "size")).reset_index()
    owner = groups.ngroup().to_numpy()
    frame["value"] = _means(rows["value"].to_numpy(dtype=float)[:, None], owner, len(frame))[:, 0]
    kept = replicates.get("layers")
    drawn = None if kept is None else _means(kept[np.flatnonzero(wanted)], owner, len(frame))
    value, units, share = frame["value"].to_numpy(), frame["n_units"].to_numpy(), metric in SHARES
    low, high = (np.nan, np.nan)
    if drawn is not None:
        low, high = proportion(value, drawn, units) if share else interval(drawn, units)
    return Thirds(frame.assign(ci_low=low, ci_high=high), drawn, share)


def changes(found: Thirds) -> "pd.DataFrame":
    """From the first step to the last, a line for every third of every subject, task, variant and policy.

    Columns: those that name the curve; first_step, last_step; `first`, `last`, `change` and `highest`, the first three
    with _low and _high (the change's interval is paired: all steps of a run weigh the same examples alike);
    highest_step; `clear`, whether the interval of the change leaves out 0, missing without one; for a clear change
    halfway_step, the first measured step by which more than half of it had happened, and before_step, the step
    measured before that.
    """
    import pandas as pd

    curves = found.frame.groupby(_CURVE, sort=False)
    frame = pd.DataFrame([{**rows[_CURVE].iloc[0], **_change(rows, found)} for _, rows in curves])
    whole = {name: "Int64" for name in frame if str(name).endswith("_step")}
    return frame.astype({**whole, "clear": "boolean"}) if len(frame) else frame


def _change(rows: "pd.DataFrame", found: Thirds) -> dict[str, Any]:
    values, steps = rows["value"].to_numpy(dtype=float), rows["step"].tolist()
    low, high = _paired(rows, found)
    told: dict[str, Any] = {"first_step": steps[0], "last_step": steps[-1]}
    for name, row in (("first", rows.iloc[0]), ("last", rows.iloc[-1])):
        told |= {name: row["value"], f"{name}_low": row["ci_low"], f"{name}_high": row["ci_high"]}
    told |= {"change": values[-1] - values[0], "change_low": low, "change_high": high}
    top = None if np.isnan(values).all() else int(np.nanargmax(values))
    told |= {"highest": np.nan if top is None else values[top], "highest_step": None if top is None else steps[top]}
    told["clear"] = None if np.isnan(low) else low > 0 or high < 0
    at = _halfway(values) if told["clear"] else None
    return told | {"halfway_step": at and steps[at], "before_step": at and steps[at - 1]}


def _paired(rows: "pd.DataFrame", found: Thirds) -> tuple[float, float]:
    """The interval of the last value less the first; NaN without replicates, or of one step."""
    if found.replicates is None or len(rows) < 2:
        return np.nan, np.nan
    units = int(rows["n_units"].min())
    (first, before), (last, after) = ((rows["value"].iloc[k], found.replicates[rows.index[k]]) for k in (0, -1))
    if found.share:
        low, high = proportion_difference(first, before, last, after, units)
    else:
        low, high = interval(after - before, units)
    return float(low), float(high)


def _halfway(values: np.ndarray) -> int | None:
    """The first place, never 0, at which more than half of the way from the first value to the last is done."""
    way = values[-1] - values[0]
    past = np.flatnonzero((values - values[0]) * np.sign(way) > abs(way) / 2)
    return int(past[0]) if len(past) else None


def _is_block(layers: "pd.DataFrame") -> np.ndarray:
    """All sites but the embedding and the final norm, which also ends Hugging Face's list."""
    last = layers["site"].eq("final_norm") | (layers["site"].str.startswith("hf.") & layers["depth"].eq(1))
    return (layers["depth"].gt(0) & ~last).to_numpy(dtype=bool)


def _third_of(depths: "pd.Series") -> np.ndarray:
    return np.array(THIRDS)[np.searchsorted([1 / 3, 2 / 3], depths.to_numpy(dtype=float))]


def _means(values: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    """[rows, B] -> [n, B]: the mean over the rows of each owner, in float64."""
    sums = np.zeros((n, values.shape[1]))
    np.add.at(sums, owner, values.astype(np.float64))
    return sums / np.bincount(owner, minlength=n)[:, None]
