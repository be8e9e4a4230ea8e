"""What a paper run says before any table."""

from typing import TYPE_CHECKING

from repflow.drawing.labels import joined
from repflow.drawing.source import Source
from repflow.studies.kit.saying import care
from repflow.studies.kit.study import Answer
from repflow.studies.paper.frames import Line, lines
from repflow.studies.paper.rows import FAILS, HOLDS, UNDECIDED, UNTESTABLE

if TYPE_CHECKING:
    import pandas as pd

_CARE = (
    "Each model is one training; the intervals say what more text of the same sources would change. Where the paper's "
    "summaries give no statistic or threshold, these are ours, and nothing is corrected for the number of claims. What "
    "each part leaves open stands among the other answers."
)
_CHOICES = {
    "hf": "read from Hugging Face's list of states,",
    "all_tokens": "with all tokens",
    "centred": "with centred states",
}
_WORDS = {HOLDS: "hold", FAILS: "fail", UNDECIDED: "are undecided", UNTESTABLE: "cannot be tested here"}


def answers(source: Source) -> list[Answer]:
    """How the claims fare on these models, and which of them hang on a choice."""
    claims: pd.DataFrame | None = source.parts.get("paper")
    if claims is None:
        return []
    found = verdicts(list(lines(claims)))
    told = [
        f"{joined(claim for claim, verdict in found.items() if verdict == wanted)} {words}"
        for wanted, words in _WORDS.items()
        if wanted in found.values()
    ]
    kinds = sorted({str(subject.kind) for subject in source.subjects})
    count = sum(verdict == HOLDS for verdict in found.values())
    headline = f"{count} of the paper's {len(found)} claims hold here"
    evidence = f"{'; '.join(told)}. {_hanging(list(lines(claims)))}".strip()
    small = (
        "A claim holds where each of its statistics that could be tested does, in every model; "
        f"{len(source.subjects)} models ({joined(kinds)}), one training each."
    )
    keys = [{"table": "claims", "claim": claim, "verdict": verdict} for claim, verdict in found.items()]
    return [Answer(headline, evidence, small=small, rows=keys), care(_CARE)]


def verdicts(found: list[Line], choice: str = "") -> dict[str, str]:
    """By claim: it holds where each of its statistics does that could be tested, and fails where one does.

    `choice` names another choice; a statistic on which it has no bearing keeps its verdict.
    """
    by_claim: dict[str, list[str]] = {}
    for line in found:
        told = str(line.about[choice] or line.about["verdict"]) if choice else str(line.about["verdict"])
        by_claim.setdefault(line.claim, []).append(told)
    return {claim: _of(told) for claim, told in by_claim.items()}


def _of(told: list[str]) -> str:
    tested = [verdict for verdict in told if verdict != UNTESTABLE]
    if not tested:
        return UNTESTABLE
    if FAILS in tested:
        return FAILS
    return HOLDS if set(tested) == {HOLDS} else UNDECIDED


def _hanging(found: list[Line]) -> str:
    """Which claims come out otherwise with a choice that the paper leaves open."""
    decided, turned = verdicts(found), list[str]()
    for name, words in _CHOICES.items():
        others = {claim: v for claim, v in verdicts(found, name).items() if v != decided[claim] and v in (HOLDS, FAILS)}
        told = [f"{claim} {verdict}" for claim, verdict in others.items()]
        turned += [f"{words} {joined(told)}"] if told else []
    said = "; ".join(turned)
    return f"{said[:1].upper()}{said[1:]}." if said else ""
