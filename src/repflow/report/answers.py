"""The sentences on top of the page and of `repflow show`."""

from collections.abc import Mapping, Sequence
from typing import Any

from repflow.drawing.source import Source
from repflow.report.behind import with_numbers
from repflow.studies import catalogue
from repflow.studies.kit.study import Answer, Study

MOST = 6
"""So many stand on the first screen."""


def studies_of(info: Mapping[str, Any]) -> Sequence[Study]:
    """Those that speak of a run: all, or the one that wrote it where its subjects are too many for the others."""
    alone = [study for study in catalogue.STUDIES if study.alone and study.name == info.get("command")]
    return alone or catalogue.STUDIES


def answers_of(source: Source, studies: Sequence[Study]) -> list[Answer]:
    """What every study says, those first that add to the rows of every run."""
    return [
        answer
        for study in sorted(studies, key=lambda each: each.common)
        for answer in with_numbers(source, study.answers(source))
    ]


_LONG, _SHORT = 480, 300
"""Evidence of more letters is cut, to so many at the most."""


def folded(evidence: str) -> tuple[str, bool]:
    """What of a sentence stands open, and whether there is more: a list of twenty subjects is cut after a few."""
    if len(evidence) <= _LONG:
        return evidence, False
    ends = [evidence.rfind(mark, 0, _SHORT) for mark in (". ", "; ", ", ")]
    end = next((end for end in ends if end > _SHORT // 3), _SHORT)
    return f"{evidence[:end].rstrip(' .;,')} …", True


def first_of(own: Sequence[Answer], parts: Sequence[Sequence[Answer]]) -> tuple[list[Answer], list[Answer]]:
    """Those for the first screen, and the others: of a run with parts, its own and the first of every part."""
    leads = [answers[0] for answers in parts if answers][:MOST]
    others = [answer for answers in parts for answer in answers[1:]]
    kept = own[: max(MOST - len(leads), 1)]
    main = [*kept, *leads][:MOST]
    rest = [*own[len(kept) :], *[each for each in leads if each not in main], *others]
    return main, rest
