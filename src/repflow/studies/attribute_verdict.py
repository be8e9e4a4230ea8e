"""One verdict over all schemes, and the finding it is kept as."""

from collections.abc import Mapping, Sequence
from typing import Any

from repflow.core.attribution_records import ShareRow
from repflow.studies.attribute_share import ARCHITECTURE, MORE, TRAINING

CONTROL = "permuted"
"""The scheme that draws nothing: it keeps every tensor's values and shuffles their places."""
OWN = "config"
"""The family's own initialisation, which no verdict goes without."""


def over_schemes(verdicts: Mapping[str, str]) -> tuple[str, str]:
    """The verdict that all drawn schemes share, and why; `mixed` where those that are decided differ.

    `permuted` never decides: the values it keeps are training's work. It only explains.
    """
    drawn = {scheme: verdict for scheme, verdict in verdicts.items() if scheme != CONTROL}
    if OWN not in drawn:
        return "undecided", f"the scheme {OWN} was not run"
    decided = {scheme: verdict for scheme, verdict in drawn.items() if verdict != "undecided"}
    if len(set(decided.values())) > 1:
        told = ", ".join(f"{scheme}: {verdict}" for scheme, verdict in decided.items())
        verdict, reason = "mixed", f"depends on the scheme ({told})"
    elif len(decided) < len(drawn):
        verdict, reason = "undecided", f"undecided under {', '.join(s for s in drawn if s not in decided)}"
    else:
        verdict, reason = decided[OWN], ""
    return verdict, "; ".join(filter(None, (reason, _control(verdict, verdicts.get(CONTROL, "")))))


def _control(verdict: str, control: str) -> str:
    """What the shuffled weights add."""
    if control == "architecture" and verdict != "architecture":
        return "shuffled trained weights give it too: the values training left suffice, wherever they stand"
    if control == "training" and verdict == "architecture":
        return "shuffled trained weights lose it"
    return ""


_KEY = ("subject", "task", "context", "metric", "variant", "tokens", "third")

CLAIMS = {
    "architecture": "random weights show the likeness of tokens in the {third} third of depth",
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
    verdict, reason = over_schemes({row.scheme: row.verdict for row in rows})
    if verdict == "architecture" and all(row.reason == MORE for row in rows if row.scheme != CONTROL):
        reason = "; ".join(filter(None, (MORE, reason)))
    own = next((row for row in rows if row.scheme == OWN), None)
    return {
        "id": "attribution",
        **key,
        "claim": CLAIMS[verdict].format(third=key["third"]),
        "value": None if own is None else own.share,
        "interval": None if own is None else [own.share_low, own.share_high],
        "threshold": [TRAINING, ARCHITECTURE],
        "verdict": verdict,
        "reason": reason,
        "evidence": [{"table": "shares", **key, "scheme": row.scheme} for row in rows],
    }
