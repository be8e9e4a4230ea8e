"""What the rows of a run say of each model: signatures, each only where its whole interval is past its threshold.

Intervals of a difference of two rows are taken from the rows' own intervals, end against end. That is wider than a
paired interval: a finding may be missed by it, none is made by it. No interval is corrected for looking at many blocks.
"""

import math
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.drawing.labels import estimate
from repflow.drawing.source import is_final
from repflow.store import at_last_step, last_steps

if TYPE_CHECKING:
    import pandas as pd

EARLY, LATE = 0.80, 0.70
"""Inter-token cosine above which the first third of depth homogenises, and the last quarter saturates."""
SINK, OFFSET, ROGUE, NORM = 0.1, 0.3, 0.5, 0.5
"""Of all less no_sink, of raw less centred, of the share of three features, of the final norm's share of the turn."""
SAME, SMALL = 0.99, 0.05
"""CKA with the block before above which, and update ratio below which, a block changes next to nothing."""
HOMOGENISES, SATURATES, NORM_TURNS, SINKS, SHARED, FEATURES, REDUNDANT, ALIKE, UNTOLD = (
    "early_homogenisation", "late_saturation", "norm_artefact", "sink_dominated", "shared_offset", "rogue_features",
    "redundant_blocks", "most_alike", "not_told",
)  # fmt: skip
TOLD = frozenset((HOMOGENISES, SATURATES, NORM_TURNS, SINKS, SHARED, FEATURES, REDUNDANT, ALIKE, UNTOLD))
"""Ids of the findings."""
_POLICY = "no_sink"


def flow_findings(layers: "pd.DataFrame", pairs: "pd.DataFrame") -> list[dict[str, Any]]:
    """Every signature that fires, by task, context and subject; of models in training at their last step.

    A subject whose rows have no interval gets one finding that says why nothing is told.
    """
    last = last_steps(layers, pairs)
    layers, pairs = at_last_step(layers, last), at_last_step(pairs, last)
    layers = layers.assign(n_units=_units(layers))
    found: list[dict[str, Any]] = []
    for (task, context, subject), rows in layers.groupby(["task", "context", "subject"], sort=False):
        own = pairs[
            (pairs["subject_a"] == subject)
            & (pairs["subject_b"] == subject)
            & (pairs["task"] == task)
            & (pairs["context"] == context)
        ]
        about = {"subject": str(subject), "task": str(task), "context": int(context)}  # pyright: ignore[reportArgumentType]
        found += _of_subject(about, rows, own)
    return found


def _units(layers: "pd.DataFrame") -> "pd.Series":
    """As the rows count them; NaN in a run that did not."""
    import pandas as pd

    return pd.to_numeric(layers["n_units"], errors="coerce").astype("Float64").astype("float64")


def _of_subject(about: dict[str, Any], rows: "pd.DataFrame", pairs: "pd.DataFrame") -> list[dict[str, Any]]:
    cosines = _rows(rows, "inter_token_cosine", "raw", _POLICY)
    blocks = _blocks(cosines)
    if len(blocks) and blocks["ci_low"].isna().all():
        units = blocks["n_units"].max()
        why = f"{units:.0f} units make no interval, 8 do" if units == units else "the run kept no intervals"
        return [_finding(UNTOLD, about, f"nothing is told: {why}", math.nan, (math.nan, math.nan), math.nan, blocks)]
    made = (
        _most_alike(about, blocks),
        _early(about, blocks),
        _late(about, blocks),
        _norm(about, rows),
        _gap(SINKS, about, _rows(rows, "inter_token_cosine", "raw", "all"), cosines, SINK),
        _gap(SHARED, about, cosines, _rows(rows, "inter_token_cosine", "centred", _POLICY), OFFSET),
        _features(about, _blocks(_rows(rows, "feature_share", "k=3", _POLICY))),
    )
    return [*(each for each in made if each is not None), *_redundant(about, rows, pairs)]


def _rows(rows: "pd.DataFrame", metric: str, variant: str, tokens: str) -> "pd.DataFrame":
    found = rows[(rows["metric"] == metric) & (rows["variant"] == variant) & (rows["tokens"] == tokens)]
    return found.sort_values("site_index", kind="stable")


def _blocks(rows: "pd.DataFrame") -> "pd.DataFrame":
    return rows[rows["depth"].gt(0) & ~is_final(rows["site"], rows["depth"])]


def highest(values: "pd.Series") -> int:
    """The place of the largest value that is a number."""
    return int(np.nanargmax(values.to_numpy(dtype=float)))


def raw_blocks(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The raw inter-token cosine of one subject's blocks, in their order."""
    return _blocks(_rows(rows, "inter_token_cosine", "raw", _POLICY))


def final_steps(layers: "pd.DataFrame") -> "pd.DataFrame":
    """The adjacent cosine of the step into the final norm, a row a subject."""
    rows = _rows(layers, "adjacent_cosine", "raw", _POLICY)
    return rows[is_final(rows["site"], rows["depth"]) & rows["value"].notna()]


def _most_alike(about: dict[str, Any], blocks: "pd.DataFrame") -> dict[str, Any] | None:
    """Where tokens are most alike: no threshold, a place."""
    if blocks["value"].isna().all():
        return None
    place = highest(blocks["value"])
    row = blocks.iloc[place]
    claim = f"tokens are most alike after {row['site']}: inter-token cosine {_told(row)}, the highest of {len(blocks)}"
    return _finding(ALIKE, about, claim, row["value"], _ends(row), math.nan, blocks.iloc[[place]])


def _early(about: dict[str, Any], blocks: "pd.DataFrame") -> dict[str, Any] | None:
    early = blocks[blocks["depth"] <= 1 / 3 + 1e-9]
    past = early[early["ci_low"] > EARLY]
    if past.empty:
        return None
    row = past.iloc[0]
    claim = f"homogenises early: inter-token cosine {_told(row)} after {row['site']} already, above {EARLY:g}"
    return _finding(HOMOGENISES, about, claim, row["value"], _ends(row), EARLY, past)


def _late(about: dict[str, Any], blocks: "pd.DataFrame") -> dict[str, Any] | None:
    late = blocks[blocks["depth"] > 0.75 - 1e-9]
    if len(late) < 2:
        return None
    first, row = late.iloc[0], late.iloc[-1]
    if not (row["ci_low"] > LATE and row["ci_low"] > first["ci_high"]):
        return None
    claim = f"saturates late: inter-token cosine {_told(row)} after {row['site']}, above {LATE:g} and still rising"
    return _finding(SATURATES, about, claim, row["value"], _ends(row), LATE, late)


def _norm(about: dict[str, Any], rows: "pd.DataFrame") -> dict[str, Any] | None:
    """The final norm's part of the last turn, against the last block's."""
    adjacent = _rows(rows, "adjacent_cosine", "raw", _POLICY)
    final = adjacent[is_final(adjacent["site"], adjacent["depth"])]
    blocks = _blocks(adjacent)
    if final.empty or blocks.empty:
        return None
    import pandas as pd

    norm, block = final.iloc[-1], blocks.iloc[-1]
    ends = _share(norm["ci_high"], block["ci_low"]), _share(norm["ci_low"], block["ci_high"])
    if not ends[0] > NORM:
        return None
    share = _share(norm["value"], block["value"])
    claim = (
        f"the final norm turns the last state more than the last block does: adjacent cosine {_told(norm)} against "
        f"{_told(block)} of {block['site']}"
    )
    return _finding(NORM_TURNS, about, claim, share, ends, NORM, pd.concat([final.iloc[-1:], blocks.iloc[-1:]]))


def _share(norm: float, block: float) -> float:
    """Of two turns, as one less their cosines, the first one's."""
    both = (1 - norm) + (1 - block)
    return (1 - norm) / both if both > 0 else math.nan


def _gap(
    name: str, about: dict[str, Any], above: "pd.DataFrame", below: "pd.DataFrame", threshold: float
) -> dict[str, Any] | None:
    """The site where the one is furthest above the other."""
    both = _blocks(above).merge(_blocks(below), on="site", suffixes=("", "_below"))
    low = both["ci_low"] - both["ci_high_below"]
    past = both[low > threshold]
    if past.empty:
        return None
    row = past.iloc[highest(past["value"] - past["value_below"])]
    difference = row["value"] - row["value_below"]
    ends = row["ci_low"] - row["ci_high_below"], row["ci_high"] - row["ci_low_below"]
    under = estimate(row["value_below"], row["ci_low_below"], row["ci_high_below"])
    what = {
        SINKS: f"a few tokens make it look alike: inter-token cosine {_told(row)} over all tokens, {' '.join(under)} "
        f"without sinks, after {row['site']}",
        SHARED: f"an offset that all text shares makes it look alike: inter-token cosine {_told(row)} raw, "
        f"{' '.join(under)} centred, after {row['site']}",
    }[name]
    claim = f"{what} ({len(past)} of {len(both)} blocks past {threshold:g})"
    return _finding(name, about, claim, difference, ends, threshold, past)


def _features(about: dict[str, Any], blocks: "pd.DataFrame") -> dict[str, Any] | None:
    past = blocks[blocks["ci_low"] > ROGUE]
    if past.empty:
        return None
    row = past.iloc[highest(past["value"])]
    claim = (
        f"three features carry {_told(row)} of the raw cosine after {row['site']} ({len(past)} blocks past {ROGUE:g})"
    )
    return _finding(FEATURES, about, claim, row["value"], _ends(row), ROGUE, past)


def _redundant(about: dict[str, Any], rows: "pd.DataFrame", pairs: "pd.DataFrame") -> Iterator[dict[str, Any]]:
    """Runs of neighbouring blocks that change next to nothing."""
    updates = _blocks(_rows(rows, "update_ratio", "raw", _POLICY))
    like = pairs[(pairs["metric"] == "cka") & pairs["variant"].isin(["token", "raw"]) & (pairs["tokens"] == _POLICY)]
    known = {(a, b): low for a, b, low in zip(like["site_a"], like["site_b"], like["ci_low"], strict=True)}
    sites = updates["site"].tolist()
    small = [
        bool(ratio < SMALL) and place > 0 and known.get((sites[place - 1], site), math.nan) > SAME
        for place, (site, ratio) in enumerate(zip(sites, updates["ci_high"], strict=True))
    ]
    start = 0
    for place in range(len(small) + 1):
        if place < len(small) and small[place]:
            continue
        if place > start:
            run = updates.iloc[start:place]
            names = run["site"].iloc[0] if len(run) == 1 else f"{run['site'].iloc[0]} to {run['site'].iloc[-1]}"
            most = run.iloc[highest(run["value"])]
            claim = f"{names} change next to nothing: updates of at most {_told(most)} of the state, CKA above {SAME:g}"
            yield _finding(REDUNDANT, about, claim, most["value"], _ends(most), SMALL, run)
        start = place + 1


def _ends(row: "pd.Series") -> tuple[float, float]:
    return float(row["ci_low"]), float(row["ci_high"])


def _told(row: "pd.Series") -> str:
    return " ".join(filter(None, estimate(row["value"], row["ci_low"], row["ci_high"])))


_VERDICTS = {ALIKE: "place", UNTOLD: "not told"}


def _finding(
    name: str,
    about: dict[str, Any],
    claim: str,
    value: float,
    interval: tuple[float, float],
    threshold: float,
    rows: "pd.DataFrame",
) -> dict[str, Any]:
    columns = ["site", "metric", "variant", "tokens"]
    units = float(rows["n_units"].min()) if len(rows) else math.nan
    return {
        "id": name,
        **about,
        "claim": claim,
        "value": None if math.isnan(value) else float(value),
        "interval": None if math.isnan(interval[0]) else [float(end) for end in interval],
        "threshold": None if math.isnan(threshold) else threshold,
        "verdict": _VERDICTS.get(name, "past its threshold"),
        "units": None if math.isnan(units) else int(units),
        "corrected_for": [],
        "evidence": [{"table": "layers", **about, **row} for row in rows[columns].to_dict("records")],
        "next": _next(name, about["subject"]),
    }


def _next(name: str, subject: str) -> str:
    """What to run where this run cannot tell; empty where it has told all."""
    subject = shlex.quote(subject)
    return {
        HOMOGENISES: f"repflow attribute {subject}",
        SATURATES: f"repflow attribute {subject}",
        NORM_TURNS: f"repflow ablate {subject} --what norm_reset:final",
        SHARED: f"repflow attribute {subject}",
        REDUNDANT: f"repflow ablate {subject} --what residual_scaled:0 --each-block",
        ALIKE: f"repflow probe {subject} --task kvpr --items 8",
        UNTOLD: f"repflow flow {subject} --examples 120",
    }.get(name, "")
