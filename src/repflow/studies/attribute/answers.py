"""Whether the likeness of tokens comes of architecture or training, in sentences for the top of a page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repflow.drawing.labels import joined
from repflow.drawing.source import Source
from repflow.studies.attribute.frames import OWN, Attribution, Cell, of_cell, verdicts
from repflow.studies.flow.earliest import most_alike_early
from repflow.studies.kit.saying import FEW, care, command, few, key, plural, signed, trained
from repflow.studies.kit.study import Answer
from repflow.studies.kit.thirds import THIRDS

if TYPE_CHECKING:
    import pandas as pd

_POLICIES = ("no_sink", "all")
_LIKENESS = {
    "raw": ("Early likeness", "Raw cosine, an offset that all text shares included"),
    "centred": ("Centred likeness", "Centred cosine, the offset of all text taken off"),
}
_UNDECIDED = "undecided"
_KEY = ("subject", "task", "context", "metric", "variant", "tokens", "scheme", "third")


@dataclass(frozen=True)
class Told:
    """The verdicts of one subject, or of the trainings of an architecture together, by third."""

    label: str
    name: str
    kind: str
    verdicts: Mapping[str, str]
    reasons: Mapping[str, str]

    @property
    def pattern(self) -> tuple[str, ...]:
        return tuple(self.verdicts.get(third, "") for third in THIRDS)


def answers(source: Source) -> list[Answer]:
    """Of the first task and context, raw and centred; of a run without draws the command that would tell."""
    found: Attribution | None = source.parts.get("attribute")
    if found is None:
        return _open(source)
    made = [answer for variant in _LIKENESS for answer in _of_variant(source, found, variant)]
    return [*made, *_undecided(source, found), care(_care(found))] if made else []


def _open(source: Source) -> list[Answer]:
    """Which models to ask of: where tokens are most alike early, one of each kind where they are many."""
    able = trained(most_alike_early(source)) or trained(source.subjects)
    told = command(source, "attribute", few(able))
    if not told:
        return []
    evidence = (
        "Weights drawn anew, read on the same text and judged against the trained ones, tell it by third of depth."
    )
    return [Answer("Architecture or training? Not measured here", evidence, told)]


def _cell(found: Attribution, variant: str) -> Cell | None:
    """The first task and context, without sinks where that was measured."""
    those = [cell for cell in found.cells if cell[2] == variant]
    return next((cell for policy in _POLICIES for cell in those if cell[3] == policy), those[0] if those else None)


def _told(source: Source, found: Attribution, cell: Cell) -> list[Told]:
    """Every subject of the table, trainings taken together first."""
    known = {subject.label: subject for subject in source.subjects}
    told: list[Told] = []
    for label in of_cell(found.shares, cell)["subject"].drop_duplicates():
        lines = list(verdicts(source.findings, cell, str(label)))
        subject = known.get(str(label))
        name, kind = (str(label), "") if subject is None else (subject.short, subject.kind)
        told.append(Told(str(label), name, kind, {t: v for t, v, _ in lines}, {t: r for t, _, r in lines}))
    return [each for each in told if each.verdicts]


def _of_variant(source: Source, found: Attribution, variant: str) -> Iterator[Answer]:
    cell = _cell(found, variant)
    told = _told(source, found, cell) if cell is not None else []
    if cell is None or not told:
        return
    title, what = _LIKENESS[variant]
    early: dict[str, list[Told]] = {}
    for each in told:
        early.setdefault(each.verdicts.get(THIRDS[0], _UNDECIDED), []).append(each)
    own = of_cell(found.shares, cell, scheme=OWN)
    groups = joined(f"{_verdict(verdict)} in {_who(those, len(told))}" for verdict, those in early.items())
    evidence = f"{what}, by third of depth: {_patterns(told)}."
    numbers = _numbers(told, own)
    if numbers:
        evidence += f" Early, random less trained weights: {numbers}."
    yield Answer(f"{title}: {groups}", evidence, "", _small(own), _rows(own))


def _verdict(verdict: str) -> str:
    return "reduced" if verdict == "reduced by training" else verdict


def _who(those: Sequence[Told], of: int) -> str:
    if len(those) == of and of > 1:
        return f"all {of}"
    return joined(each.name for each in those) if len(those) <= 2 and of <= FEW else f"{len(those)} of {of}"


def _patterns(told: Sequence[Told]) -> str:
    """Subjects with the same verdicts together, the verdicts of the thirds in words."""
    groups: dict[tuple[str, ...], list[Told]] = {}
    for each in told:
        groups.setdefault(each.pattern, []).append(each)
    return "; ".join(f"{_crowd(those)} {_thirds(pattern)}" for pattern, those in groups.items())


def _crowd(those: Sequence[Told]) -> str:
    if len(those) <= FEW:
        return joined(each.name for each in those)
    kinds: dict[str, int] = {}
    for each in those:
        kinds[each.kind] = kinds.get(each.kind, 0) + 1
    return f"{len(those)} models ({joined(f'{n} {plural(kind)}' for kind, n in kinds.items())})"


def _thirds(pattern: Sequence[str]) -> str:
    """`training throughout`, or `architecture (early), training (middle and late)`."""
    places: dict[str, list[str]] = {}
    for third, verdict in zip(THIRDS, pattern, strict=True):
        if verdict:
            places.setdefault(verdict, []).append(third)
    if len(places) == 1:
        verdict, thirds = next(iter(places.items()))
        return f"{verdict} throughout" if len(thirds) == len(THIRDS) else f"{verdict} ({joined(thirds)})"
    return ", ".join(f"{verdict} ({joined(thirds)})" for verdict, thirds in places.items())


def _numbers(told: Sequence[Told], own: "pd.DataFrame") -> str:
    """The difference and its interval in the early third, of up to four subjects; of more the least and the most."""
    rows = own[(own["third"] == THIRDS[0]) & own["difference_low"].notna()]
    named = {each.label: each.name for each in told}
    rows = rows[rows["subject"].isin(list(named))].sort_values("difference", kind="stable")
    if len(rows) > FEW:
        rows = rows.iloc[[0, -1]]
    return joined(f"{named[row['subject']]} {_difference(row)}" for row in rows.to_dict("records"))


def _difference(row: Mapping[Any, Any]) -> str:
    low, high = (f"{row[name]:+.2f}" for name in ("difference_low", "difference_high"))
    share = row["share"]
    of = f", share {share:.2f}" if math.isfinite(share) else ""
    return signed(f"{row['difference']:+.2f} [{low}, {high}]{of}")


def _small(own: "pd.DataFrame") -> str:
    if own.empty:
        return ""
    units, draws, among = (int(own[name].min()) for name in ("n_units", "seeds", "family_size"))
    trainings = int(own["trainings"].max())
    pooled = f", up to {trainings} trainings" if trainings > 1 else ""
    return (
        f"The scheme {OWN} (the family's own initialisation) decides; {draws} draws and {units} units{pooled}. 95% "
        f"intervals over units and draws; verdicts corrected for being {among} (Holm)."
    )


def _rows(own: "pd.DataFrame") -> list[Mapping[str, Any]]:
    return [key("shares", row, _KEY) for row in own.to_dict("records")]


def _undecided(source: Source, found: Attribution) -> Iterator[Answer]:
    """What cannot be told and why, and the command that would narrow it."""
    cells = [(variant, cell) for variant in _LIKENESS if (cell := _cell(found, variant)) is not None]
    open_ones = [
        (each, variant, third)
        for variant, cell in cells
        for each in _told(source, found, cell)
        for third in THIRDS
        if each.verdicts.get(third) == _UNDECIDED
    ]
    if not open_ones:
        return
    reasons: dict[str, list[str]] = {}
    for each, variant, third in open_ones:
        reasons.setdefault(each.reasons.get(third, "") or "no reason kept", []).append(f"{each.name} {variant} {third}")
    told = "; ".join(f"{joined(places[:2])}{_rest(places)}: {reason}" for reason, places in list(reasons.items())[:3])
    more = f"; {len(reasons) - 3} more reasons in the table" if len(reasons) > 3 else ""
    labels = {each.label for each, _, _ in open_ones}
    whose = [subject for subject in source.subjects if subject.label in labels]
    next_one = command(source, "attribute", few(whose), *_options(source, reasons))
    count = f"{len(open_ones)} verdict{'s' if len(open_ones) > 1 else ''}"
    yield Answer(f"Undecided: {count} of thirds", f"{told}{more}.", next_one)


def _rest(places: Sequence[str]) -> str:
    return f" and {len(places) - 2} more" if len(places) > 2 else ""


def _options(source: Source, reasons: Mapping[str, Any]) -> tuple[str, ...]:
    """More of what the reasons say would narrow the interval."""
    settings = source.info.get("settings")
    seeds = settings.get("seeds") if isinstance(settings, Mapping) else None
    text = " ".join(reasons)
    draws = ("--seeds", str(2 * seeds)) if isinstance(seeds, int) and "draw" in text else ()
    return draws or ("--examples", "200")


def _care(found: Attribution) -> str:
    own = found.shares[found.shares["scheme"] == OWN]
    alone = "one training a model" if own.empty or own["trainings"].max() == 1 else "the trainings named"
    return (
        f"Architecture or training: of {alone}, of means over thirds of depth, and of this text; a generic scheme may "
        "say otherwise where its scale differs (the table has them all)."
    )
