"""The tables that studies write, and what a row of each is."""

from repflow.core import LayerRow, PairRow, PathRow
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.attribute.rows import SchemeRow, ShareRow
from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow
from repflow.studies.probe.rows import AnswerRow, ProbeClassRow, ProbeRow, ProbeSummaryRow, TellingRow

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
