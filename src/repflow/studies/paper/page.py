"""The section of a paper run: the table of the claims."""

from typing import TYPE_CHECKING

from repflow.core.quantities import Quantity
from repflow.drawing.panel import Panel, Section, View
from repflow.drawing.source import Source
from repflow.drawing.table import frame_uri
from repflow.studies.paper.frames import lines
from repflow.studies.paper.table import claims_table
from repflow.studies.paper.texts import PAPER

if TYPE_CHECKING:
    import pandas as pd


def sections(source: Source) -> list[Section]:
    """The claims, with the table to take away; none for a run without them."""
    claims: pd.DataFrame | None = source.parts.get("paper")
    if claims is None:
        return []
    csv = ("claims.csv", "Table as CSV, with every model's number and interval", frame_uri(claims))
    view = View("", "", table=claims_table(source, lines(claims)))
    panel = Panel("claims", _CLAIMS.title, _CLAIMS, (view,), layout="table")
    return [Section("claims", "The paper's claims", "Claims", [panel], [csv], about=_ABOUT)]


_ABOUT = "claim by claim: the statistic, the verdict, and whether it hangs on a choice"
_CLAIMS = Quantity(
    "",
    f"What {PAPER} claims, on these models",
    "",
    "A claim is decided by the statistics written here; the paper's summaries give no formula for most, so the choice "
    "and the thresholds are ours. A statistic holds or fails where it does in every model of the kind, over the whole "
    "95% interval of each; else it is undecided.",
    "The columns behind the verdict decide the same with what others might have chosen: Hugging Face's list of hidden "
    "states in place of the residual stream, all tokens in place of all but sinks, centred states in place of raw "
    "ones. A claim about kinds of models counts models: the intervals are over other text of the same sources, and "
    "each model is one training.",
    "",
)
METHODS = (
    "The claims are decided from the rows of the runs inside: layers, paths and their bootstrap replicates (flow), "
    "shares (attribute), ablations (ablate), bounds (dynamics), probe_summary (probe). Intervals are not corrected for "
    "the number of statistics. claims.parquet holds every number, interval, threshold and verdict."
)
"""For the end of the page, as HTML."""
