"""What two runs differ in clearly, in sentences: the largest differences first, corrected for looking at many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.core.quantities import quantity
from repflow.drawing.labels import estimate, number, short_label
from repflow.drawing.source import POLICIES

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
MAIN = (
    ("inter_token_cosine", "raw"),
    ("inter_token_cosine", "centred"),
    ("adjacent_cosine", "raw"),
    ("update_ratio", "raw"),
    ("feature_share", "k=3"),
    ("norm", "median"),
    ("participation_ratio", "centred"),
    ("sequence_curvature", "raw"),
    ("v_loc", "rms"),
    ("v_glob", "rms"),
    ("cka", "token"),
)
"""Metrics and variants that the headline is of, where a comparison has them; the table has all."""
FOLDED = "offset_cosine"
"""The metric whose many distances are one line."""
GROUP = ["subject_a", "subject_b", "task", "context"]
_ABSOLUTE = frozenset(("inter_token_cosine", "adjacent_cosine", "update_cosine", "feature_share", "cka", FOLDED))
"""Metrics on a scale of their own; a difference of others is told beside their size."""


@dataclass(frozen=True)
class Difference:
    """One quantity of one pair of subjects that differs clearly at some site."""

    key: tuple[Any, ...]
    """Subjects, task, context, metric, variant and tokens."""
    size: float
    """How large the largest clear difference is, on the metric's scale or beside the larger value."""
    said: str

    @property
    def title(self) -> str:
        return titled(self.key[4], self.key[5])


def titled(metric: str, variant: str) -> str:
    """A quantity's name with its variant, `raw` left out."""
    title = quantity(metric).title
    return title if variant == "raw" else f"{title} ({variant})"


def clear(frame: "pd.DataFrame") -> "pd.Series":
    """The rows whose difference stands the correction for looking at all."""
    return frame["p_holm"] <= LEVEL


def named(frame: "pd.DataFrame") -> tuple[str, str]:
    """What a and b are called: by their subjects where these differ, else by their runs."""
    pairs = frame[["subject_a", "subject_b"]].drop_duplicates().to_numpy().tolist()
    if len(pairs) == 1 and pairs[0][0] != pairs[0][1]:
        a, b = (short_label(str(label)) for label in pairs[0])
        if a != b:
            return a, b
    runs = frame.attrs.get("runs", {})
    a, b = (str(runs.get(name, name)).rstrip("/").rpartition("/")[2] for name in "ab")
    return (a, b) if a != b else ("a", "b")


def differences(frame: "pd.DataFrame") -> list[Difference]:
    """A line a main quantity that differs clearly, the largest first."""
    rows = headline_rows(frame)
    several = len(rows[GROUP].drop_duplicates()) > 1
    names, found = named(frame), list[Difference]()
    for key, group in rows.groupby([*GROUP, "metric", "variant", "tokens"], sort=False):
        mine = group[clear(group)]
        if len(mine):
            sizes = _sizes(mine)
            row = mine.iloc[int(sizes.to_numpy().argmax())]
            where = f"{short_label(str(key[0]))}, {key[2]}, {key[3]:,} tokens: " if several else ""
            found.append(Difference(tuple(key), float(sizes.max()), where + _said(row, group, mine, names)))
    return sorted(found, key=lambda each: -each.size)


def headline_rows(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of the main quantities under the token policy shown first; all quantities where no main one is there."""
    present = set(frame["tokens"])
    policy = next((name for name in POLICIES if name in present), next(iter(sorted(present)), ""))
    rows = frame[frame["tokens"] == policy]
    main = rows[[pair in MAIN for pair in zip(rows["metric"], rows["variant"], strict=True)]]
    return main if len(main) else rows


def _sizes(rows: "pd.DataFrame") -> "pd.Series":
    larger = rows[["value_a", "value_b"]].abs().max(axis=1)
    return (rows["difference"].abs() / larger.where(~rows["metric"].isin(_ABSOLUTE), 1.0)).fillna(0.0)


def _said(row: "pd.Series", group: "pd.DataFrame", mine: "pd.DataFrame", names: tuple[str, str]) -> str:
    title = titled(str(row["metric"]), str(row["variant"]))
    way = "higher" if row["difference"] > 0 else "lower"
    at = f" at {row['site']}" if row["site"] else ""
    texts = f"{number(row['value_b'])} against {number(row['value_a'])}"
    return f"{title}: {names[1]} is {way} by {_by(row)}{at} ({texts}){_sites(group, mine)}."


def _by(row: "pd.Series") -> str:
    """The size of the difference with its paired interval, or the word that it has none."""
    if not row["paired"]:
        return f"{number(abs(row['difference']))}, not paired,"
    low, high = sorted((abs(row["difference_low"]), abs(row["difference_high"])))
    value, limits = estimate(abs(row["difference"]), low, high)
    return f"{value} {limits}"


def _sites(group: "pd.DataFrame", mine: "pd.DataFrame") -> str:
    """At how many sites, and which way."""
    if len(group) == 1:
        return ""
    up = int((mine["difference"] > 0).sum())
    down = len(mine) - up
    both = f" ({up} higher, {down} lower)" if up and down else ""
    return f"; clear at {len(mine)} of {len(group)} sites{both}"


def headline(frame: "pd.DataFrame", found: Sequence[Difference]) -> str:
    """How many of the main quantities differ."""
    rows = headline_rows(frame)
    if rows["p_holm"].isna().all():
        return "Nothing can be told: no row has an interval in both"
    looked = len(rows[rows["p_holm"].notna()][["metric", "variant"]].drop_duplicates())
    apart = len({each.key[4:6] for each in found})
    a, b = named(frame)
    if (frame["difference"].dropna() == 0).all():
        return f"Every number of {a} and {b} is the same"
    if not apart:
        return f"Nothing differs clearly between {a} and {b}"
    return f"{a} and {b} differ clearly in {apart} of {looked} quantities"


def fine_print(frame: "pd.DataFrame") -> str:
    """What the sentences rest on."""
    known, paired = int(frame["p"].notna().sum()), int(frame["paired"].sum())
    how = "all paired" if paired == len(frame) else f"{paired:,} paired" if paired else "none paired"
    counted = f"{int(clear(frame).sum()):,} of {known:,} rows with intervals differ clearly"
    counts = frame[["n_units_a", "n_units_b"]].to_numpy(dtype=float)
    few = f", at least {np.nanmin(counts):.0f} units" if np.isfinite(counts).any() else ""
    return (
        f"{counted} ({how}{few}; p corrected for all of them by Holm's method, at 5%). Brackets: 95% intervals of the "
        "difference, paired by unit, not corrected. Of the places of a quantity the one that is furthest apart is told."
    )
