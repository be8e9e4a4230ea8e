"""Verdicts corrected for being many, the one that decides, and the finding it is kept as."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from repflow.core.many import holm
from repflow.studies.attribute.rows import ShareRow
from repflow.studies.attribute.share import ARCHITECTURE, LEVEL, REDUCED, TRAINING

CONTROL = "permuted"
"""The scheme that draws nothing: it keeps every tensor's values and shuffles their places."""
OWN = "config"
"""The family's own initialisation: it decides."""
MATCHED = "+matched"
"""Behind a generic scheme: drawn at the trained scale."""


def corrected(rows: Sequence[ShareRow]) -> list[ShareRow]:
    """The rows with their verdicts corrected for being several (Holm); one that does not stand it is undecided.

    A family is what is read together: all subjects, tasks, contexts and thirds of one scheme, variant and token policy;
    trainings taken together are a family apart from each by itself.
    """
    families: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        families.setdefault((row.scheme, row.variant, row.tokens, row.trainings > 1), []).append(place)
    found = list(rows)
    for places in families.values():
        for place, p in zip(places, holm([rows[place].p for place in places]), strict=True):
            found[place] = _corrected(rows[place], p, len(places))
    return found


def _corrected(row: ShareRow, p: float, among: int) -> ShareRow:
    row = replace(row, p_holm=p, family_size=among)
    if row.uncorrected == "undecided" or p <= LEVEL:
        return row
    reason = f"{row.uncorrected} by itself (p {_p(row.p)}), not as one of {among} (Holm: {_p(p)})"
    return replace(row, verdict="undecided", reason="; ".join(filter(None, (reason, row.reason))))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def decided(verdicts: Mapping[str, str], reasons: Mapping[str, str]) -> tuple[str, str]:
    """The verdict under the family's own initialisation, and what the other schemes add to it."""
    if OWN not in verdicts:
        return "undecided", f"the scheme {OWN} was not run, or no draw of it could be measured"
    verdict = verdicts[OWN]
    notes = (reasons.get(OWN, ""), _others(verdict, verdicts), _control(verdict, verdicts.get(CONTROL, "")))
    return verdict, "; ".join(filter(None, notes))


def _others(verdict: str, verdicts: Mapping[str, str]) -> str:
    """What other ways of drawing say otherwise: a scheme's gain alone can turn a verdict."""
    told: dict[str, list[str]] = {}
    for scheme, other in verdicts.items():
        if scheme not in (OWN, CONTROL) and other not in (verdict, "undecided"):
            told.setdefault(other, []).append(scheme)
    return "; ".join(f"{other} under {', '.join(schemes)}" for other, schemes in told.items())


def _control(verdict: str, control: str) -> str:
    """What the shuffled weights add. They never decide: the values they keep are training's work."""
    if control == "architecture" and verdict != "architecture":
        return "shuffled trained weights give it too: the values training left suffice, wherever they stand"
    if control == "training" and verdict == "architecture":
        return "shuffled trained weights lose it"
    return ""


_KEY = ("subject", "task", "context", "metric", "variant", "tokens", "third")

CLAIMS = {
    "architecture": "random weights show the likeness of tokens in the {third} third of depth",
    "reduced by training": "training reduces the likeness that random weights show in the {third} third of depth",
    "training": "the likeness of tokens in the {third} third of depth comes with training",
    "mixed": "the likeness of tokens in the {third} third of depth comes of both architecture and training",
    "undecided": "where the likeness of tokens in the {third} third of depth comes from cannot be told",
}


def findings_of(rows: Sequence[ShareRow]) -> list[dict[str, Any]]:
    """A finding for every subject, task, context, variant, policy and third, with the rows it rests on."""
    grouped: dict[tuple[Any, ...], list[ShareRow]] = {}
    for row in rows:
        grouped.setdefault(tuple(getattr(row, name) for name in _KEY), []).append(row)
    return [_finding(dict(zip(_KEY, key, strict=True)), group) for key, group in grouped.items()]


def _finding(key: dict[str, Any], rows: Sequence[ShareRow]) -> dict[str, Any]:
    verdict, reason = decided({row.scheme: row.verdict for row in rows}, {row.scheme: row.reason for row in rows})
    own = next((row for row in rows if row.scheme == OWN), None)
    return {
        "id": "attribution",
        **key,
        "claim": CLAIMS[verdict].format(third=key["third"]),
        **({"value": None, "interval": None, "share": None, "share_interval": None} if own is None else _numbers(own)),
        "threshold": [TRAINING, ARCHITECTURE, REDUCED],
        "verdict": verdict,
        "uncorrected": "undecided" if own is None else own.uncorrected,
        "reason": reason,
        "evidence": [{"table": "shares", **key, "scheme": row.scheme} for row in rows],
    }


def _numbers(row: ShareRow) -> dict[str, Any]:
    """The difference first, then the share."""
    return {
        "value": row.difference,
        "interval": [row.difference_low, row.difference_high],
        "share": row.share,
        "share_interval": [row.share_low, row.share_high],
        "p": row.p,
        "p_holm": row.p_holm,
    }
