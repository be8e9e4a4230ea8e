"""Which model homogenises earliest, and where: from its own rows, and only as far as the intervals tell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repflow.drawing.source import Source, Subject, of_scene
from repflow.studies.flow.findings import EARLY, highest, raw_blocks
from repflow.studies.kit.saying import Value, key, names, spread
from repflow.studies.kit.study import Answer

if TYPE_CHECKING:
    import pandas as pd

_THIRD = 1 / 3 + 1e-9


@dataclass(frozen=True)
class Curve:
    """The raw inter-token cosine of one subject, block by block."""

    subject: Subject
    rows: "pd.DataFrame"

    @property
    def first(self) -> "pd.Series | None":
        """The first block whose whole interval is above the threshold."""
        past = self.rows[self.rows["ci_low"] > EARLY]
        return past.iloc[0] if len(past) else None

    @property
    def top(self) -> "pd.Series":
        """The block of the first third where tokens are most alike; of a model of two blocks its first."""
        early = self.rows[self.rows["depth"] <= _THIRD]
        early = early if len(early) else self.rows.iloc[:1]
        return early.iloc[highest(early["value"])]

    def may_pass_by(self, depth: float) -> bool:
        """Whether some block up to a depth may be above the threshold."""
        return bool((self.rows.loc[self.rows["depth"] <= depth + 1e-9, "ci_high"] > EARLY).any())


def earliest(source: Source, layers: "pd.DataFrame") -> Iterator[Answer]:
    """One answer; none where no subject has intervals."""
    curves = curves_of(source, layers)
    if not curves:
        return
    passing = [(curve, row) for curve in curves if (row := curve.first) is not None]
    yield _homogenised(curves, passing) if passing else _none(curves)


def most_alike_early(source: Source) -> list[Subject]:
    """The subjects of the first task and context by the likeness of tokens in the first third of depth, highest first.

    Without those that have no interval.
    """
    layers = of_scene(source.layers, source.scenes[0]) if source.scenes else source.layers
    curves = curves_of(source, layers)
    return [curve.subject for curve in sorted(curves, key=lambda each: -each.top["value"])]


def curves_of(source: Source, layers: "pd.DataFrame") -> list[Curve]:
    """The subjects that have intervals."""
    return [
        Curve(subject, rows)
        for subject in source.subjects
        if len(rows := raw_blocks(layers[layers["subject"] == subject.label])) and rows["ci_low"].notna().any()
    ]


def _homogenised(curves: Sequence[Curve], passing: "Sequence[tuple[Curve, pd.Series]]") -> Answer:
    """Some pass the threshold: the first of them, and who may be as early."""
    ordered = sorted(passing, key=lambda each: each[1]["depth"])
    first, row = ordered[0]
    depth = float(row["depth"])
    near = [curve for curve in curves if curve is not first and curve.may_pass_by(depth)]
    told, limits = spread([_at(curve, where) for curve, where in ordered])
    share = "in the first third" if depth <= _THIRD else f"at {depth:.0%} of depth"
    never = [curve.subject for curve in curves if curve.first is None]
    evidence = f"First block whose inter-token cosine is wholly above {EARLY:g}: {told}; the first of all {share}."
    if near:
        evidence += f" Not clearly later: {names([curve.subject for curve in near], len(curves))}."
    if never:
        evidence += f" Not above it anywhere, as a whole interval: {names(never, len(curves))}."
    site = str(row["site"])
    if near:
        headline = "Which model homogenises earliest is not clear"
    else:
        headline = f"{first.subject.short} homogenises {'earliest, ' if len(curves) > 1 else ''}after {site}"
    return Answer(headline, evidence, "", f"{limits}.", [_key(where) for _, where in ordered])


def _none(curves: Sequence[Curve]) -> Answer:
    """Nobody passes it: whose tokens are most alike early, and whether that is clear."""
    tops = sorted(((curve, curve.top) for curve in curves), key=lambda each: -each[1]["value"])
    (first, row), *others = tops
    near = [curve for curve, other in others if not other["ci_high"] < row["ci_low"]]
    told, limits = spread([_at(curve, top) for curve, top in tops])
    high = [curve.subject for curve in curves if (curve.rows["ci_high"] > EARLY).any()]
    clearly = "clearly " if high else ""
    if len(curves) == 1:
        headline = f"{first.subject.short} does not {clearly}homogenise"
    elif near:
        headline = f"No model {clearly}homogenises; which comes nearest is unclear"
    else:
        headline = f"No model {clearly}homogenises; {first.subject.short} comes nearest"
    doubt = f" It may be above in {names(high, len(curves))}." if high else ""
    evidence = (
        f"No block's inter-token cosine is wholly above {EARLY:g}.{doubt} Highest in the first third of depth: {told}."
    )
    if near:
        evidence += f" Not clearly below {first.subject.short}: {names([c.subject for c in near], len(curves))}."
    return Answer(headline, evidence, "", f"{limits}.", [_key(top) for _, top in tops])


def _at(curve: Curve, row: "pd.Series") -> Value:
    value, low, high = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
    return Value.of(curve.subject, value, low, high, f"after {row['site']}")


def _key(row: "pd.Series") -> dict[str, Any]:
    return key("layers", row.to_dict(), ("subject", "task", "context", "site", "metric", "variant", "tokens"))
