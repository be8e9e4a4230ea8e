"""The sentences on top of the page and of `repflow show`."""

from collections.abc import Mapping, Sequence
from typing import Any

from repflow.drawing.source import Source
from repflow.report.behind import with_numbers
from repflow.studies import catalogue
from repflow.studies.kit.saying import CARE, care
from repflow.studies.kit.study import Answer, Study

MOST = 6
"""So many stand on the first screen."""
_LONG, _SHORT = 480, 300
"""Evidence of more letters is cut, to so many at the most."""


def studies_of(info: Mapping[str, Any]) -> Sequence[Study]:
    """Those that speak of a run: all, or the one that wrote it where its subjects are too many for the others."""
    alone = [study for study in catalogue.STUDIES if study.alone and study.name == info.get("command")]
    return alone or catalogue.STUDIES


def answers_of(source: Source, studies: Sequence[Study]) -> list[Answer]:
    """What every study says: those first that add to the rows of every run, then the first sentence on these rows.

    Then what the run cannot tell, with the command that would, and the rest; last what they all do not say.
    """
    own, common, missing = list[Answer](), list[Answer](), list[Answer]()
    for study in sorted(studies, key=lambda each: each.question):
        there = own if study.name in source.parts else missing
        (common if study.common else there).extend(with_numbers(source, study.answers(source)))
    said = [*own, *common, *missing]
    cautions = dict.fromkeys(each.evidence for each in said if each.headline == CARE)
    own, common, missing = ([each for each in part if each.headline != CARE] for part in (own, common, missing))
    last = [care(" ".join(cautions))] if cautions else []
    return [*own, *common[:1], *missing, *common[1:], *last]


def first_screen(parts: Sequence[tuple[str, Source]]) -> tuple[list[Answer], list[Answer]]:
    """Those for the first screen and the others, of a run or of one and the runs inside it, by name.

    A run with others inside speaks first; then each study that made one gives its first sentence, in the order in which
    readers ask. The last of the first screen says what to be careful about.
    """
    if len(parts) == 1:
        source = parts[0][1]
        leads, others = answers_of(source, studies_of(source.info)), list[Answer]()
    else:
        leads, others = _of_parts([source for _, source in parts])
    cautions = [each for each in leads if each.headline == CARE]
    leads = [each for each in leads if each.headline != CARE]
    room = MOST - len(cautions[:1])
    return [*leads[:room], *cautions[:1]], [*leads[room:], *others]


def _of_parts(sources: Sequence[Source]) -> tuple[list[Answer], list[Answer]]:
    """The first sentence of every study and the other ones, each run told of by the study that made it.

    What one is to be careful about is said of the whole first, and of the runs inside among the other sentences.
    """
    made = [(catalogue.study(str(source.info["command"])), source) for source in sources if not reads_hf(source.info)]
    (own, first), *inside = made
    inside.sort(key=lambda each: each[0].question)
    leads, others, spoken = answers_of(first, [own]), list[Answer](), set[str]()
    for study, source in inside:
        said = answers_of(source, [study])
        new = said[:1] if study.name not in spoken and said[:1] and said[0].headline != CARE else []
        spoken.add(study.name)
        leads += new
        others += said[len(new) :]
    return leads, [each for each in others if each.next.split()[1:2] not in [[name] for name in spoken]]


def reads_hf(info: Mapping[str, Any]) -> bool:
    """Whether a run read Hugging Face's list, for parity with published figures alone."""
    settings = info.get("settings")
    return isinstance(settings, Mapping) and settings.get("sites") == "hf"


def folded(evidence: str) -> tuple[str, bool]:
    """What of a sentence stands open, and whether there is more: a list of twenty subjects is cut after a few."""
    if len(evidence) <= _LONG:
        return evidence, False
    ends = [evidence.rfind(mark, 0, _SHORT) for mark in (". ", "; ", ", ")]
    end = next((end for end in ends if end > _SHORT // 3), _SHORT)
    return f"{evidence[:end].rstrip(' .;,')} …", True
