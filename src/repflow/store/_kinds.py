"""The tables that studies write, and what a row of each is."""

from repflow.core import (
    AblationRow,
    AnswerRow,
    LayerRow,
    PairRow,
    PathRow,
    ProbeClassRow,
    ProbeRow,
    ProbeSummaryRow,
    TellingRow,
)
from repflow.core.attribution_records import SchemeRow, ShareRow
from repflow.core.dynamics_records import BoundRow, InfluenceRow, RecencyRow, TransitionRow

KINDS: dict[str, type] = {
    "layers": LayerRow,
    "pairs": PairRow,
    "paths": PathRow,
    "ablations": AblationRow,
    "answers": AnswerRow,
    "bounds": BoundRow,
    "influence": InfluenceRow,
    "probe_classes": ProbeClassRow,
    "probe_summary": ProbeSummaryRow,
    "probes": ProbeRow,
    "recency": RecencyRow,
    "schemes": SchemeRow,
    "shares": ShareRow,
    "telling": TellingRow,
    "transitions": TransitionRow,
}
"""Every run has the first three; the others come with some studies."""
