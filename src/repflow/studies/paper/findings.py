"""The claims as findings: what `findings.json` of a paper run holds."""

import math
from collections.abc import Sequence
from typing import Any

from repflow.studies.paper.rows import UNTESTABLE, ClaimRow
from repflow.studies.paper.texts import CLAIMS

CLAIM = "claim"


def claim_findings(rows: Sequence[ClaimRow]) -> list[dict[str, Any]]:
    """A finding for every line of all models together that could be judged."""
    return [_finding(row) for row in rows if row.subject is None and row.verdict != UNTESTABLE]


def _finding(row: ClaimRow) -> dict[str, Any]:
    statistic = ", ".join(filter(None, (row.statistic, row.detail)))
    return {
        "id": CLAIM,
        "subject": row.kind,
        "claim": f"{row.claim}, {CLAIMS[row.claim]}: {row.verdict} by {statistic} ({row.rule}; {row.reason})",
        "task": row.task,
        "context": row.context,
        "value": None,
        "interval": None,
        "threshold": None if math.isnan(row.threshold) else row.threshold,
        "verdict": row.verdict,
        "units": None,
        "evidence": [{"table": "claims", "claim": row.claim, "statistic": row.statistic, "detail": row.detail}],
        "next": "",
    }
