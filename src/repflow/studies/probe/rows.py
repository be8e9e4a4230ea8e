"""The rows of a probe run. Plain frozen data, one table a class."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """The probes of one site at one place of the prompts: a line of probes.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    position: str
    """Where in the prompt: `last`, `ask`, `gold` (its end), `mean`, `even.1of4` .. ."""
    share: float
    """How far into the prompt that is, 0 to 1; NaN for `gold` and `mean`."""
    site: str
    site_index: int
    depth: float
    accuracy: float
    """Share of held-out examples whose gold position or value the probe names, over all splits."""
    ci_low: float
    ci_high: float
    control: float
    """The same on labels permuted per group, or on a value drawn for each; NaN where no control was trained."""
    control_low: float
    control_high: float
    selectivity: float
    """Accuracy minus control."""
    selectivity_low: float
    selectivity_high: float
    abs_error: float
    """Mean distance between the named and the true position; NaN for values."""
    abs_error_low: float
    abs_error_high: float
    chance: float
    majority: float
    """Accuracy of always naming the class most frequent in training: of values, the one at that place of the prompt."""
    n_train: int
    """Examples a split trains on, on average."""
    n_test: int
    """Different examples that some split held out."""
    n_groups: int
    """Different groups that some split held out: the units of the intervals."""
    classes: int
    seeds: int
    solver: str
    strength: float
    """Median over splits of the regularisation that cross-validation chose (ridge: of z-scored features, an example);
    NaN for adam."""
    baseline_of: str | None = None
    """The subject whose random initialisation this one is; None for a subject in its own right."""
    capacity: float = math.nan
    """Accuracy on labels that only the identity of the gold key or question tells, seen in training and test alike."""
    capacity_low: float = math.nan
    capacity_high: float = math.nan
    target: str = "position"
    """What is looked for: where the gold stands, or which of the prompt's values it has."""
    lens: float = math.nan
    """Of values: the share chosen rightly by the model's own final norm and unembedding, without training."""
    lens_low: float = math.nan
    lens_high: float = math.nan


@dataclass(frozen=True, slots=True)
class ProbeClassRow:
    """How one class fares at one site: a line of probe_classes.parquet."""

    subject: str
    task: str
    context: int
    position: str
    site: str
    site_index: int
    depth: float
    gold_class: int
    accuracy: float
    ci_low: float
    ci_high: float
    target: str = "position"
    """What is looked for: where the gold stands, or which of the prompt's values it has."""


@dataclass(frozen=True, slots=True)
class ProbeSummaryRow:
    """One subject on one task, read at one place: a line of probe_summary.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    position: str
    solver: str
    peak_site: str | None
    """The shallowest site of highest accuracy among `embed` and the blocks. This and all that follows from it (peak,
    gaps) is missing unless `verdict` is `above chance`."""
    peak_site_index: int | None
    peak_depth: float
    peak_from: str | None
    """The interval of the peak's place, as sites and as depths."""
    peak_to: str | None
    peak_depth_low: float
    peak_depth_high: float
    peak: float
    peak_low: float
    """Corrected for the choice among sites."""
    peak_high: float
    embed: float
    last: float
    """Accuracy after the last block."""
    last_low: float
    last_high: float
    final_norm: float
    final_norm_low: float
    final_norm_high: float
    gap: float
    """Peak minus last, in shares of 1."""
    gap_low: float
    gap_high: float
    relative_gap: float
    """Gap over peak."""
    relative_gap_low: float
    relative_gap_high: float
    norm_gap: float
    """Peak minus final norm."""
    norm_gap_low: float
    norm_gap_high: float
    relative_norm_gap: float
    relative_norm_gap_low: float
    relative_norm_gap_high: float
    chance: float
    majority: float
    length: float
    """Accuracy of the same probe on the number of tokens alone."""
    length_low: float
    length_high: float
    answered: float
    """Share of the examples the model answers rightly; NaN where it was not asked."""
    answered_low: float
    answered_high: float
    n_examples: int
    n_groups: int
    baseline_of: str | None = None
    verdict: str = ""
    """`above chance`, `not above chance`, or `no interval` from fewer than 8 groups held out. "" in runs made before
    there was one."""
    highest: float = math.nan
    """The highest accuracy, peak or not: what the verdict judges. Its interval is corrected for the choice among
    sites."""
    highest_low: float = math.nan
    highest_high: float = math.nan
    n_sites: int = 0
    """Sites it was chosen among."""
    n_units: int = 0
    """Groups that some split held out: the units of the intervals."""
    capacity: float = math.nan
    """At the peak: accuracy on labels that only the identity of the gold key or question tells."""
    capacity_low: float = math.nan
    capacity_high: float = math.nan
    embed_low: float = math.nan
    embed_high: float = math.nan
    target: str = "position"
    """What is looked for: where the gold stands, or which of the prompt's values it has."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What a model said to one example: a line of answers.parquet."""

    subject: str
    task: str
    context: int
    example: int
    group: int
    gold_class: int
    gold_position: int
    """Index of the gold pair or document, from 0."""
    n_items: int
    n_tokens: int
    answer: str
    correct: bool


@dataclass(frozen=True, slots=True)
class TellingRow:
    """What is readable against what is said, by where the gold stands: a line of telling.parquet."""

    subject: str
    task: str
    context: int
    position: str
    site: str
    """The site of highest accuracy, or the last block."""
    at: str
    """`peak`, where a site is above chance, or `last`."""
    gold_class: int | None
    """None: all classes together."""
    probe: float
    """Accuracy, with whatever class the probe prefers to name."""
    probe_low: float
    probe_high: float
    answered: float
    """Share answered rightly. An answer is free text: its chance level is 0."""
    answered_low: float
    answered_high: float
    difference: float
    """`probe_above` minus the share answered rightly, paired by group; at `peak` the lower limit is corrected for the
    choice among sites, and of single classes among these too. (Of plain accuracy where `probe_above` is missing.)"""
    difference_low: float
    difference_high: float
    probe_above: float = math.nan
    """The probe above its own chance level, 0 at chance and 1 when always right, its class preference taken off: how
    much more often it names the class where the gold stands there than where it does not. NaN in runs made before."""
    probe_above_low: float = math.nan
    probe_above_high: float = math.nan
    target: str = "position"
    """What is looked for: where the gold stands, or which of the prompt's values it has."""
