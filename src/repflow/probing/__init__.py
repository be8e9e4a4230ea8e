"""Linear probes on features: where in depth an answer is linearly readable. No models here, only their states."""

from repflow.probing.checks import check_probeable
from repflow.probing.depth import DepthSummary, FinalGap, Peak, summarise_depth
from repflow.probing.fit import fit_probes
from repflow.probing.predictions import SOLVERS, Predictions
from repflow.probing.resampling import GroupBootstrap, Scores, share_scores
from repflow.probing.splits import control_labels, held_out, identity_labels, train_mask
from repflow.probing.summaries import SiteSummary, summarise
from repflow.probing.telling import Telling, compare_with_answers

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
    "check_probeable",
    "compare_with_answers",
    "control_labels",
    "fit_probes",
    "held_out",
    "identity_labels",
    "share_scores",
    "summarise",
    "summarise_depth",
    "train_mask",
]
