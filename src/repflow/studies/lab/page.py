"""Panels of a lab: what its models answer, how alike their tokens are, when, and what that says of the question."""

from repflow.core.quantities import Quantity
from repflow.drawing.panel import Cell, Panel, Section, View
from repflow.drawing.source import POLICIES, Source, values
from repflow.drawing.table import frame_uri
from repflow.studies.kit.thirds import THIRDS
from repflow.studies.lab.figures import against, course_lines, depth_lines, outcome_dots
from repflow.studies.lab.frames import Lab
from repflow.studies.lab.outcomes import ASKED_MOST, OUTCOMES, POLICY
from repflow.studies.lab.table import FLOW, RETRIEVAL, contrasts_table, groups_table, slopes_table
from repflow.studies.lab.texts import ALIKE, ANSWERS, contrasts_said

_VARIANTS = ("raw", "centred")
_ABOUT = "answers, likeness, course of training, contrasts"


def sections(source: Source) -> list[Section]:
    """What the grid asked and what its cells say; none for a run that no lab wrote."""
    lab: Lab | None = source.parts.get("lab")
    if lab is None:
        return []
    frames = {"outcomes": lab.outcomes, "groups": lab.summary, "contrasts": lab.contrasts, "slopes": lab.slopes}
    files = [
        (f"{name}.csv", f"{name.capitalize()} as CSV", frame_uri(rows)) for name, rows in frames.items() if len(rows)
    ]
    note = " ".join(filter(None, (lab.question, _lost(lab), _ALONE)))
    return [Section("lab", "What the grid asked", "The grid", lab_panels(source), files, note=note, about=_ABOUT)]


def lab_panels(source: Source) -> list[Panel]:
    """Every panel that has rows, in reading order."""
    lab: Lab = source.parts["lab"]
    found = [
        _answers(lab),
        _alike(lab),
        _course(lab),
        _depth(lab),
        _against(lab),
        _numbers(lab),
        _differences(lab),
        _slopes(lab),
    ]
    return [panel for panel in found if panel.views]


def _lost(lab: Lab) -> str:
    lost = [f"{subject} ({reason})" for subject, reason in values(lab.failures, "subject", "reason")]
    return f"Cells that came to nothing: {'; '.join(lost)}." if lost else ""


def _dots(lab: Lab, outcomes: tuple[str, ...]):
    held = [name for name in outcomes if (lab.summary["outcome"] == name).any()]
    groups = tuple(g for g in lab.groups if g.trained or any(len(_of(lab, g.architecture, name)) for name in held))
    figures = tuple(outcome_dots(lab, name, groups, names=True) for name in held)
    return held, figures


def _of(lab: Lab, architecture: str, outcome: str):
    rows = lab.summary
    return rows[(rows["architecture"] == architecture) & (rows["outcome"] == outcome)]


def _answers(lab: Lab) -> Panel:
    held, figures = _dots(lab, RETRIEVAL)
    cells = tuple(Cell(OUTCOMES[name].title, name) for name in held)
    said = " ".join(contrasts_said(lab.contrasts, lab.summary, ANSWERS))
    views = (View("all", "", figures, said=said),) if held else ()
    return Panel("lab_answers", _ANSWERS.title, _ANSWERS, views, cells, "pairs")


def _alike(lab: Lab) -> Panel:
    views: list[View] = []
    for variant in _VARIANTS:
        held, figures = _dots(lab, tuple(f"{third}, {variant}" for third in THIRDS))
        if len(held) == len(THIRDS):
            of = [name for name in ALIKE if name.endswith(variant)]
            views.append(
                View(
                    POLICY,
                    variant,
                    figures,
                    said=" ".join(contrasts_said(lab.contrasts, lab.summary, of)),
                    variant=variant,
                    own="",
                )
            )
    cells = tuple(Cell(f"{third} third", third) for third in THIRDS)
    return Panel("lab_alike", _ALIKE.title, _ALIKE, tuple(views), cells, "pairs")


def _legend(lab: Lab, trained: bool = True):
    return tuple((group.name, group.style) for group in lab.groups if group.trained or not trained)


def _course(lab: Lab) -> Panel:
    groups = tuple(group for group in lab.groups if group.trained)
    rows = lab.cells.dropna(subset=["answers"])
    asked = list(dict.fromkeys(values(rows, "task", "context")))
    shown = (*[a for a in asked if a[0] != "pairs"], *[a for a in asked if a[0] == "pairs"])
    views = tuple(
        View("all", f"{task}, {context} tokens", (course_lines(lab, task, context, groups),))
        for task, context in shown
        if groups
    )
    return Panel("lab_course", _COURSE.title, _COURSE, views, legend=_legend(lab))


def _depth(lab: Lab) -> Panel:
    rows = lab.layers[lab.layers["metric"] == "inter_token_cosine"]
    views = tuple(
        View(tokens, variant, (depth_lines(lab, variant, tokens, lab.groups),), variant=variant, own="")
        for variant in (*_VARIANTS, "standardised")
        for tokens in POLICIES
        if ((rows["variant"] == variant) & (rows["tokens"] == tokens)).any()
    )
    return Panel("lab_depth", _DEPTH.title, _DEPTH, views, legend=_legend(lab, trained=False))


def _against(lab: Lab) -> Panel:
    groups = tuple(group for group in lab.groups if group.trained)
    known = set(lab.outcomes["outcome"])
    views = tuple(
        View(
            POLICY,
            f"{third}, {variant}",
            (against(lab, f"{third}, {variant}", ASKED_MOST, groups),),
            variant=variant,
            own=third,
        )
        for variant in _VARIANTS
        for third in THIRDS
        if {f"{third}, {variant}", ASKED_MOST} <= known
    )
    return Panel("lab_against", _AGAINST.title, _AGAINST, views, legend=_legend(lab))


def _numbers(lab: Lab) -> Panel:
    views = tuple(
        View("all", choice, table=groups_table(lab, outcomes))
        for choice, outcomes in (("answers and text", RETRIEVAL), ("flow", FLOW))
        if lab.summary["outcome"].isin(outcomes).any()
    )
    return Panel("lab_numbers", _NUMBERS.title, _NUMBERS, views, layout="table")


def _differences(lab: Lab) -> Panel:
    views = tuple(
        View("all", choice, table=contrasts_table(lab, outcomes))
        for choice, outcomes in (("answers and text", RETRIEVAL), ("flow", FLOW))
        if lab.contrasts["outcome"].isin(outcomes).any()
    )
    return Panel("lab_contrasts", _CONTRASTS.title, _CONTRASTS, views, layout="table")


def _slopes(lab: Lab) -> Panel:
    kinds = list(dict.fromkeys(values(lab.slopes, "family", "trained", "factor")))
    shown = ("early, raw", "late, raw", "early, centred", "late, centred", ASKED_MOST)
    views = (View("all", "", table=slopes_table(lab, kinds, shown)),) if kinds else ()
    return Panel("lab_slopes", _SLOPES.title, _SLOPES, views, layout="table")


_ALONE = "The figures of single models further down show one seed of each group, the first; those here show all seeds."
_ANSWERS = Quantity(
    "", "What they answer", "",
    "Answers right in every token on fresh prompts, and the loss of next tokens on prose that no training has read.",
    "A thin mark is one training; the large mark is their mean with its 95% interval over trainings (Student's t). "
    "With three trainings an interval is wide: where it is, read the single marks. Text: lower is better.", "",
)  # fmt: skip
_ALIKE = Quantity(
    "", "How alike their tokens are", "",
    "Inter-token cosine on text at the end of training, mean over the blocks of a third of depth.",
    "Low: tokens are kept apart. Marks as above. Raw counts an offset that all tokens share as likeness; centred takes "
    "it away: a difference that only raw shows is one of that offset.", "",
)  # fmt: skip
_COURSE = Quantity(
    "", "Answers during training", "",
    "Answers right against training: the mean over seeds, with a band from the lowest to the highest seed.",
    "The curve that leaves the floor first learns from the fewest tokens; all read the same rows of a seed, in the "
    "same order.", "",
)  # fmt: skip
_DEPTH = Quantity(
    "", "Likeness by depth", "",
    "Inter-token cosine of every block at the end of training: the mean over seeds, with a band from the lowest to the "
    "highest seed.",
    "A rising line: tokens become more alike with depth. Bands that overlap: seeds differ as much as groups do.", "",
)  # fmt: skip
_AGAINST = Quantity(
    "", "Does keeping tokens apart go with answering?", "",
    "Each training as one mark: inter-token cosine of a third of depth, and the share of kvpr answers that are right.",
    "Marks of one group are its seeds. A pattern among groups need not be a cause: they differ in other things, too.",
    "",
)  # fmt: skip
_NUMBERS = Quantity(
    "", "Every group in numbers", "", "Means over seeds with 95% intervals; n counts models.",
    "One training has no interval.", "",
)  # fmt: skip
_CONTRASTS = Quantity(
    "", "What differs clearly", "",
    "Each group less the grid's first architecture; a group with an added loss less the same architecture without it.",
    "Intervals are Welch's over trainings, widened so that all contrasts of a column hold at once (Bonferroni). "
    "“not clear”: the interval holds 0.", "",
)  # fmt: skip
_SLOPES = Quantity(
    "", "What a doubling of size changes", "",
    "Least squares over models that differ in one size alone, on its base-2 logarithm: the change when the size "
    "doubles.",
    "Intervals are 95%, over models. A straight line is assumed; few sizes cannot show another form.", "",
)  # fmt: skip

METHODS = (
    "Each cell of a grid is a model of the zoo's form at the grid's size, trained on the same rows as every other cell "
    "of its seed: stages of retrieval rows, then prompts among text. AdamW, one schedule for all. Answers are counted "
    "on fresh rows of another seed than any training's. Flow is measured on the built-in texts. "
    "Intervals of groups are Student's t over trainings; of a share the spread is taken at least as large as so few "
    "questions leave open. The numbers lie beside this file in cells.parquet, outcomes.parquet, groups.parquet, "
    "contrasts.parquet and slopes.parquet."
)
"""For the end of the page, as HTML."""
