"""Linear probes on features: where in depth an answer is linearly readable. No models here, only their states."""

from repflow.studies.probe.linear.checks import check_probeable
from repflow.studies.probe.linear.depth import DepthSummary, FinalGap, Peak, summarise_depth
from repflow.studies.probe.linear.fit import fit_probes
from repflow.studies.probe.linear.predictions import SOLVERS, Predictions
from repflow.studies.probe.linear.resampling import GroupBootstrap, Scores, share_scores
from repflow.studies.probe.linear.splits import control_labels, held_out, identity_labels, train_mask
from repflow.studies.probe.linear.summaries import SiteSummary, summarise
from repflow.studies.probe.linear.telling import Telling, compare_with_answers
from repflow.studies.probe.linear.values import Values, fit_values

__all__ = [
    "SOLVERS",
    "DepthSummary",
    "FinalGap",
    "GroupBootstrap",
    "Peak",
    "Predictions",
    "Scores",
    "SiteSummary",
    "Telling",
    "Values",
    "check_probeable",
    "compare_with_answers",
    "control_labels",
    "fit_probes",
    "fit_values",
    "held_out",
    "identity_labels",
    "share_scores",
    "summarise",
    "summarise_depth",
    "train_mask",
]
