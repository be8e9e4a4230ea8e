"""A summary row of a probe that is above chance, one of noise, and a site's row beside them."""

import math
from dataclasses import asdict, replace

from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow
from repflow.studies.probe.verdicts import ABOVE, LEVEL

PEAK = ProbeSummaryRow(
    "m", "gpt2", "trained", "kvpr", 300, "last", "adam",
    peak_site="block.21", peak_site_index=22, peak_depth=0.7, peak_from="block.19", peak_to="block.21",
    peak_depth_low=0.6, peak_depth_high=0.7, peak=0.957, peak_low=0.911, peak_high=0.982, embed=0.2,
    last=0.667, last_low=0.589, last_high=0.746, final_norm=0.643, final_norm_low=0.56, final_norm_high=0.72,
    gap=0.29, gap_low=0.191, gap_high=0.371, relative_gap=0.3, relative_gap_low=0.2, relative_gap_high=0.4,
    norm_gap=0.31, norm_gap_low=0.2, norm_gap_high=0.4,
    relative_norm_gap=0.3, relative_norm_gap_low=0.2, relative_norm_gap_high=0.4,
    chance=0.2, majority=0.2, length=0.21, length_low=0.15, length_high=0.28,
    answered=0.11, answered_low=0.059, answered_high=0.178, n_examples=300, n_groups=60,
    verdict=ABOVE, highest=0.957, highest_low=0.911, highest_high=0.982, n_sites=31, n_units=41,
    capacity=0.72, capacity_low=0.66, capacity_high=0.78,
)  # fmt: skip
NOISE = replace(
    PEAK, subject="n", position="mean", peak_site=None, peak_site_index=None, peak_from=None, peak_to=None,
    verdict=LEVEL, highest=0.241, highest_low=0.17, highest_high=0.31, last=0.18, last_low=0.12, last_high=0.25,
    **dict.fromkeys(("peak_depth", "peak", "peak_low", "peak_high", "gap", "gap_low", "gap_high"), math.nan),
    capacity=math.nan,
)  # fmt: skip


def site_row(row: ProbeSummaryRow, site: str, accuracy: float, control: float) -> ProbeRow:
    shared = {"control_low": 0.1, "control_high": 0.3, "selectivity": 0.0, "selectivity_low": 0.0}
    shared |= {"selectivity_high": 0.0, "abs_error": 1.0, "abs_error_low": 0.9, "abs_error_high": 1.1}
    shared |= {"ci_low": 0.1, "ci_high": 0.3, "n_train": 9, "n_test": 9, "n_groups": 9, "classes": 5, "seeds": 5}
    known = {n: v for n, v in asdict(row).items() if n in ProbeRow.__dataclass_fields__} | shared
    place = {"share": 1.0, "site": site, "site_index": 1, "depth": 0.5, "strength": math.nan}
    return ProbeRow(**known | place | {"accuracy": accuracy, "control": control})
