"""Linear probes on features: where in depth an answer is linearly readable. No models here, only their states."""

from repflow.probing.checks import check_probeable
from repflow.probing.depth import DepthSummary, FinalGap, summarise_depth
from repflow.probing.fit import fit_probes
from repflow.probing.predictions import SOLVERS, Predictions
from repflow.probing.resampling import GroupBootstrap, Scores
from repflow.probing.splits import control_labels, train_mask
from repflow.probing.summaries import SiteSummary, summarise

__all__ = [
    "SOLVERS",
    "DepthSummary",
    "FinalGap",
    "GroupBootstrap",
    "Predictions",
    "Scores",
    "SiteSummary",
    "check_probeable",
    "control_labels",
    "fit_probes",
    "summarise",
    "summarise_depth",
    "train_mask",
]
