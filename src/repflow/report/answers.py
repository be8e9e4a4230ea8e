"""The sentences on top of the page and of `repflow show`."""

from collections.abc import Mapping, Sequence
from typing import Any

from repflow.drawing.source import Source
from repflow.studies import catalogue
from repflow.studies.kit.saying import CARE, care
from repflow.studies.kit.study import Answer, Study

MOST = 6
"""So many stand on the first screen."""


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
        (common if study.common else there).extend(study.answers(source))
    said = [*own, *common, *missing]
    cautions = dict.fromkeys(each.evidence for each in said if each.headline == CARE)
    own, common, missing = ([each for each in part if each.headline != CARE] for part in (own, common, missing))
    last = [care(" ".join(cautions))] if cautions else []
    return [*own, *common[:1], *missing, *common[1:], *last]


def first_of(own: Sequence[Answer], parts: Sequence[Sequence[Answer]]) -> tuple[list[Answer], list[Answer]]:
    """Those for the first screen, and the others: of a run with parts, its own and the first of every part."""
    leads = [answers[0] for answers in parts if answers][:MOST]
    others = [answer for answers in parts for answer in answers[1:]]
    kept = own[: max(MOST - len(leads), 1)]
    main = [*kept, *leads][:MOST]
    rest = [*own[len(kept) :], *[each for each in leads if each not in main], *others]
    return main, rest
