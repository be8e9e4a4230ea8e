"""What a run of models answers, before any figure: at most six sentences, the last on what they do not say."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repflow.drawing.labels import estimate, joined
from repflow.drawing.source import Source
from repflow.studies.flow.findings import (
    ALIKE,
    FEATURES,
    HOMOGENISES,
    NORM_TURNS,
    REDUNDANT,
    SATURATES,
    SHARED,
    SINKS,
    UNTOLD,
    early_blocks,
    final_steps,
    flow_findings,
    highest,
)
from repflow.studies.kit.study import Answer

if TYPE_CHECKING:
    import pandas as pd

MOST = 6
_BY_SPEC = frozenset(("flow", "probe", "ablate", "attribute", "dynamics"))
"""Commands whose subjects are named as another command takes them; a model in a loop has a name only."""
_HEADLINES = {
    HOMOGENISES: "Homogenised in the first third of depth",
    SATURATES: "Saturating in the last quarter",
    ALIKE: "Where tokens are most alike",
    SHARED: "An offset of all text makes tokens look alike",
    SINKS: "A few tokens make the others look alike",
    FEATURES: "Three features carry the likeness",
    REDUNDANT: "Blocks that change next to nothing",
    UNTOLD: "Nothing can be told",
}
_ORDER = (HOMOGENISES, SATURATES, ALIKE, SHARED, SINKS, FEATURES, REDUNDANT, UNTOLD)


def answers(source: Source) -> list[Answer]:
    """Of the first task and context of a run; the findings hold the others."""
    if not source.scenes or source.layers.empty:
        return []
    scene = source.scenes[0]
    shorts = {subject.label: subject.short for subject in source.subjects}
    layers = source.layers[(source.layers["task"] == scene.task) & (source.layers["context"] == scene.context)]
    pairs = source.pairs[(source.pairs["task"] == scene.task) & (source.pairs["context"] == scene.context)]
    found = [each for each in flow_findings(layers, pairs) if each["subject"] in shorts]
    if not found:
        return []
    made = [*_earliest(layers, shorts), *(_grouped(name, found, shorts) for name in _ORDER if _of(found, name))]
    made += _final_norm(layers, shorts, [shorts[each["subject"]] for each in _of(found, NORM_TURNS)])
    kept = made[: MOST - 1]
    where = scene.title if len(source.scenes) == 1 else f"{scene.title}; the findings hold the other tasks and contexts"
    if source.info.get("command") not in _BY_SPEC:
        kept = [replace(each, next="") for each in kept]
    return [*kept, _care(found, where)]


def _of(found: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [each for each in found if each["id"] == name]


def _grouped(name: str, found: Sequence[Mapping[str, Any]], shorts: Mapping[str, str]) -> Answer:
    """One sentence for all subjects of which a finding of this kind was made."""
    mine = _of(found, name)
    if name == ALIKE:
        told = joined(f"{shorts[each['subject']]} {_limits(each)} after {_site(each)}" for each in mine)
        evidence = f"Highest inter-token cosine (raw) of any block: {told}."
        return Answer(_HEADLINES[name], evidence, str(mine[0]["next"]))
    told = "; ".join(f"{shorts[each['subject']]}: {each['claim']}" for each in mine)
    return Answer(_HEADLINES[name], f"{told}.", str(mine[0]["next"]))


def _limits(found: Mapping[str, Any]) -> str:
    low, high = found["interval"] or (None, None)
    return " ".join(filter(None, estimate(found["value"], low, high)))


def _site(found: Mapping[str, Any]) -> str:
    return str(found["evidence"][0]["site"])


def _final_norm(layers: "pd.DataFrame", shorts: Mapping[str, str], turned: Sequence[str]) -> list[Answer]:
    """By how much the step into the final norm turns the states, and where that is more than the last block does."""
    rows = final_steps(layers)
    if rows.empty:
        return []
    told = joined(
        f"{shorts[str(row['subject'])]} {_close(row)}" for _, row in rows.iterrows() if row["subject"] in shorts
    )
    more = f" More than the last block does, over the whole interval, in {joined(turned)}." if turned else ""
    evidence = f"Cosine of a token's state before and after it (1: not turned): {told}.{more}"
    return [Answer("How far the final norm turns the last state", evidence, "")]


def _earliest(layers: "pd.DataFrame", shorts: Mapping[str, str]) -> Iterator[Answer]:
    """Whose tokens are most alike in the first third of depth, if the intervals say so."""
    tops: list[tuple[str, pd.Series]] = []
    for label in shorts:
        early = early_blocks(layers[layers["subject"] == label])
        if len(early) and early["value"].notna().any():
            tops.append((label, early.iloc[highest(early["value"])]))
    if len(tops) < 2 or any(math.isnan(row["ci_low"]) for _, row in tops):
        return
    tops.sort(key=lambda top: -top[1]["value"])
    (first, row), *others = tops
    near = [(label, other) for label, other in others if other["ci_high"] >= row["ci_low"]]
    shown = [(first, row), *(near or others[:1])]
    told = joined(f"{shorts[label]} {_told(other)} after {other['site']}" for label, other in shown)
    small = f"Highest inter-token cosine (raw) of the first third of depth: {told}."
    command = f"repflow attribute {' '.join(shlex.quote(label) for label, _ in shown)}"
    if near:
        yield Answer("Whose tokens are most alike early is not clear", f"{small} The intervals meet.", command)
    else:
        yield Answer(f"In early depth {shorts[first]}'s tokens are most alike", small, command)


def _told(row: "pd.Series") -> str:
    return " ".join(filter(None, estimate(row["value"], row["ci_low"], row["ci_high"])))


def _close(row: "pd.Series") -> str:
    """Three decimals: near 1 more of them say nothing."""
    value, low, high = (f"{row[name]:.3f}" for name in ("value", "ci_low", "ci_high"))
    return value if math.isnan(row["ci_low"]) else f"{value} [{low}, {high}]"


def _care(found: Sequence[Mapping[str, Any]], where: str) -> Answer:
    units = [each["units"] for each in found if each["units"] is not None]
    few = f" from {min(units)} units" if units else ""
    return Answer(
        "What these sentences do not say",
        f"They are of {where},{few} and one training a model: the intervals say what more text of the same sources "
        "would change, not another training, and are not corrected for choosing among blocks. Whether architecture or "
        "training does it, repflow attribute tells; which block to probe is a guess until repflow probe has read it.",
        "",
    )
