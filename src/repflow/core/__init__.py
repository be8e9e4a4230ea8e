"""Records, protocols and errors. Nothing here imports torch."""

from repflow.core.ablation_records import AblationRow
from repflow.core.errors import (
    BadFile,
    BadSetting,
    BadSpec,
    CallerError,
    ContextTooLong,
    Interrupted,
    ModelProblem,
    NonFinite,
    NotEnoughData,
    RepflowError,
    StoreConflict,
    UnknownName,
    unknown,
)
from repflow.core.intervals import MIN_UNITS, ROUGH_UNITS, interval
from repflow.core.paths import local_path
from repflow.core.probe_records import AnswerRow, ProbeClassRow, ProbeRow, ProbeSummaryRow, TellingRow
from repflow.core.proportions import difference_limits, proportion, proportion_difference
from repflow.core.protocols import Task, Tokenizer
from repflow.core.records import (
    POLICIES,
    Estimate,
    Example,
    Kind,
    LayerRow,
    Origin,
    PairRow,
    PathRow,
    Site,
    SubjectFacts,
    Tap,
    block_taps,
    sites_for,
)
from repflow.core.visible import visible

__all__ = [
    "MIN_UNITS",
    "POLICIES",
    "ROUGH_UNITS",
    "AblationRow",
    "AnswerRow",
    "BadFile",
    "BadSetting",
    "BadSpec",
    "CallerError",
    "ContextTooLong",
    "Estimate",
    "Example",
    "Interrupted",
    "Kind",
    "LayerRow",
    "ModelProblem",
    "NonFinite",
    "NotEnoughData",
    "Origin",
    "PairRow",
    "PathRow",
    "ProbeClassRow",
    "ProbeRow",
    "ProbeSummaryRow",
    "RepflowError",
    "Site",
    "StoreConflict",
    "SubjectFacts",
    "Tap",
    "Task",
    "TellingRow",
    "Tokenizer",
    "UnknownName",
    "block_taps",
    "difference_limits",
    "interval",
    "local_path",
    "proportion",
    "proportion_difference",
    "sites_for",
    "unknown",
    "visible",
]
