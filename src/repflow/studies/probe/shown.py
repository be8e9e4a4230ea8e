"""Summaries of probes with a verdict each, and without a peak where there is none."""

from typing import TYPE_CHECKING

from repflow.studies.probe.verdicts import ABOVE, probe_verdict

if TYPE_CHECKING:
    import pandas as pd

PEAK = (
    "peak_site", "peak_site_index", "peak_depth", "peak_from", "peak_to", "peak_depth_low", "peak_depth_high",
    "peak", "peak_low", "peak_high", "gap", "gap_low", "gap_high", "relative_gap", "relative_gap_low",
    "relative_gap_high", "norm_gap", "norm_gap_low", "norm_gap_high", "relative_norm_gap", "relative_norm_gap_low",
    "relative_norm_gap_high", "capacity", "capacity_low", "capacity_high",
)  # fmt: skip
"""What is said of a peak alone."""


def judged(summary: "pd.DataFrame") -> "pd.DataFrame":
    """A probe_summary frame whose rows all have a verdict.

    Runs made before there were verdicts are judged here by the interval of their peak, and lose the peak that is none.
    """
    old = summary["verdict"].isna() | summary["verdict"].eq("")
    if not old.any():
        return summary
    found = summary.copy()
    for name in ("", "_low", "_high"):
        found[f"highest{name}"] = found[f"highest{name}"].where(~old, found[f"peak{name}"])
    judges = zip(found["highest_low"], found["chance"], found["majority"], strict=True)
    verdicts = [probe_verdict(low, chance, majority) for low, chance, majority in judges]
    found["verdict"] = found["verdict"].where(~old, verdicts)
    found["n_units"] = found["n_units"].where(~old, found["n_groups"])
    nothing = old & found["verdict"].ne(ABOVE)
    for name in PEAK:
        found.loc[nothing, name] = None
    return found
