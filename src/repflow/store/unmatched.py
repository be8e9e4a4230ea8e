"""What a comparison leaves out: rows of one run that have no partner in the other, counted by why."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_REASONS = {
    "other subjects": ("who",),
    "other tasks or contexts": ("task", "context"),
    "other metrics, variants or token policies": ("table", "metric", "variant", "tokens"),
    "other sites or depths": ("site", "depth"),
}
"""In this order: a row counts under the first thing that the other run does not have."""


def unmatched(rows: "pd.DataFrame", others: "pd.DataFrame") -> dict[str, int]:
    """Rows of `rows` without a partner in `others`, by reason; a reason that applies to none is left out."""
    counts: dict[str, int] = {}
    keys: list[str] = []
    left = rows
    for reason, more in _REASONS.items():
        keys += more
        found = left[keys].merge(others[keys].drop_duplicates(), on=keys, how="left", indicator=True)["_merge"]
        known = (found == "both").to_numpy()
        if not known.all():
            counts[reason] = int((~known).sum())
        left = left[known]
    return counts


def unmatched_line(counts: dict[str, dict[str, int]]) -> str:
    """`312 rows of a and 240 of b have no partner: other sites or depths (552)`; empty when all rows have one."""
    totals = {run: sum(by_reason.values()) for run, by_reason in counts.items()}
    if not any(totals.values()):
        return ""
    reasons = {
        reason: sum(by_reason.get(reason, 0) for by_reason in counts.values())
        for reason in _REASONS
        if any(reason in by_reason for by_reason in counts.values())
    }
    listed = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
    return f"{totals['a']:,} rows of a and {totals['b']:,} of b have no partner: {listed}"
