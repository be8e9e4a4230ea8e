"""What a run of models answers, before any figure: a sentence a question, the last on what they do not say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repflow.drawing.labels import joined
from repflow.drawing.source import Source, Subject, of_scene
from repflow.studies.flow.earliest import curves_of, earliest
from repflow.studies.flow.findings import (
    ALIKE,
    FEATURES,
    OFFSET,
    REDUNDANT,
    SAME,
    SATURATES,
    SHARED,
    SINK,
    SINKS,
    SMALL,
    UNTOLD,
    final_steps,
    flow_findings,
)
from repflow.studies.flow.findings import NORM_TURNS as TURNS
from repflow.studies.kit.saying import Value, blocks_of, care, command, few, key, names, scene_of, spread, trained
from repflow.studies.kit.study import Answer

if TYPE_CHECKING:
    import pandas as pd

MOST = 9
"""Sentences on one run, the last word among them."""
Finding = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """What the sentences are made of: findings and rows of the first task and context."""

    source: Source
    found: Sequence[Finding]
    layers: "pd.DataFrame"
    pairs: "pd.DataFrame"

    @property
    def subjects(self) -> dict[str, Subject]:
        return {subject.label: subject for subject in self.source.subjects}

    def of(self, name: str) -> list[Finding]:
        return [each for each in self.found if each["id"] == name]

    def who(self, found: Sequence[Finding]) -> list[Subject]:
        return [self.subjects[label] for label in dict.fromkeys(str(each["subject"]) for each in found)]

    def values(self, found: Sequence[Finding]) -> list[Value]:
        """The values of findings, each with the first of its sites."""
        return [
            Value.of(
                self.subjects[each["subject"]], each["value"], *_ends(each), f"after {each['evidence'][0]['site']}"
            )
            for each in found
        ]

    def has(self, metric: str, variant: str = "raw", tokens: str = "no_sink") -> bool:
        rows = self.layers[(self.layers["metric"] == metric) & (self.layers["variant"] == variant)]
        return bool((rows["tokens"] == tokens).any())


def answers(source: Source) -> list[Answer]:
    """Of the first task and context of a run; the findings hold the others."""
    if source.layers.empty:
        return _open(source)
    scene = source.scenes[0]
    layers, pairs = of_scene(source.layers, scene), of_scene(source.pairs, scene)
    labels = {subject.label for subject in source.subjects}
    found = [each for each in flow_findings(layers, pairs) if each["subject"] in labels]
    if not found:
        return []
    said = Said(source, found, layers, pairs)
    made = [*earliest(source, layers), *_guess(said), *_alike(said), *_final_norm(said), *_saturates(said)]
    made += [*_offset(said), *_features(said), *_redundant(said)]
    kept = [*_untold(said), *made][: MOST - 1]
    return [*kept, care(_care(said, scene.title))]


def _open(source: Source) -> list[Answer]:
    """Of a run that measured no likeness."""
    told = command(source, "flow", few(source.subjects))
    if not told or scene_of(source) is None:
        return []
    return [Answer("Which homogenises earliest is not measured here", "This run has no rows of flow.", told)]


def _ends(found: Finding) -> tuple[float, float]:
    low, high = found["interval"] or (float("nan"), float("nan"))
    return float(low), float(high)


def _rows(found: Sequence[Finding]) -> list[Mapping[str, Any]]:
    return [row for each in found for row in each["evidence"]]


def _small(limits: str, *more: str) -> str:
    return ". ".join(filter(None, (limits, *more))) + ("." if limits or any(more) else "")


def _untold(said: Said) -> Iterator[Answer]:
    mine = said.of(UNTOLD)
    if not mine:
        return
    whose = said.who(mine)
    why = str(mine[0]["claim"]).partition(": ")[2]
    everyone = len(whose) == len(said.subjects)
    headline = "Nothing can be told of so few units" if everyone else f"Nothing can be told of {names(whose)}"
    evidence = f"{why[:1].upper()}{why[1:]}; numbers without an interval are in the tables only."
    yield Answer(headline, evidence, _more(said.source, whose), rows=_rows(mine))


def _more(source: Source, whose: Sequence[Subject]) -> str:
    return command(source, "flow", few(whose), "--examples", "120")


def _guess(said: Said) -> Iterator[Answer]:
    """Which block to probe: no row of flow tells, and it is said so."""
    scene = scene_of(said.source)
    retrieves = scene is not None and scene.task in ("kvpr", "mdqa")
    options = () if retrieves else ("--task", "kvpr", "--items", "8")
    told = command(said.source, "probe", few(said.source.subjects), *options, task=retrieves)
    if "probe" in said.source.parts or not told:
        return
    middles = {f"block.{(n - 1) // 2}" for s in said.source.subjects if (n := blocks_of(s)) is not None}
    where = middles.pop() if len(middles) == 1 else "the middle block"
    yield Answer(
        f"Probe {where} first: only a guess",
        "Published probes read best in the middle of depth more often than at its end, but rows of flow do not say "
        "where a task's answer is readable: in the models of the zoo that is anywhere from the embedding to the last "
        "block. A probe run reads every block at once and tells.",
        told,
        "Nothing is measured behind this sentence.",
    )


def _alike(said: Said) -> Iterator[Answer]:
    mine = [each for each in said.of(ALIKE) if each["interval"]]
    early = {(curve.subject.label, str(curve.top["site"])) for curve in curves_of(said.source, said.layers)}
    if {(each["subject"], each["evidence"][0]["site"]) for each in mine} - early:
        told, limits = spread(said.values(mine))
        small = _small(limits, "The place is that of the highest estimate, not tested against its neighbours")
        yield Answer("Where tokens are most alike", f"Highest inter-token cosine: {told}.", "", small, _rows(mine))


def _saturates(said: Said) -> Iterator[Answer]:
    mine = said.of(SATURATES)
    if mine:
        told, limits = spread(
            [
                Value.of(said.subjects[each["subject"]], each["value"], *_ends(each), f"after {_last_site(each)}")
                for each in mine
            ]
        )
        evidence = f"Still rising in the last quarter of depth, above 0.7: {told}."
        next_one = _attribute(said, mine)
        yield Answer(f"{_whose(said, mine)} late in depth", evidence, next_one, _small(limits), _rows(mine))


def _attribute(said: Said, found: Sequence[Finding]) -> str:
    """The command that tells architecture from training; none where the run has it already."""
    asked = [] if "attribute" in said.source.parts else few(trained(said.who(found)))
    return command(said.source, "attribute", asked)


def _last_site(found: Finding) -> str:
    return str(found["evidence"][-1]["site"])


def _whose(said: Said, found: Sequence[Finding]) -> str:
    whose = said.who(found)
    verb = "saturates" if len(whose) == 1 else "saturate"
    return f"{whose[0].short if len(whose) == 1 else f'{len(whose)} models'} {verb}"


def _final_norm(said: Said) -> Iterator[Answer]:
    """By how much the step into the final norm turns the states, and where that is more than the last block does."""
    rows = final_steps(said.layers)
    rows = rows[rows["ci_low"].notna() & rows["subject"].isin(list(said.subjects))]
    if rows.empty:
        return
    values = [Value(said.subjects[str(row["subject"])], row["value"], *_three(row)) for _, row in rows.iterrows()]
    told, limits = spread(values)
    turned = said.of(TURNS)
    if turned:
        headline = _turning(said.who(turned), len(values))
        more = f"In {names(said.who(turned), len(values))} that is more than the last block turns it."
    else:
        headline = "How far the final norm turns the states"
        which = "It is not" if len(values) == 1 else "In none is it"
        more = f"{which} clearly more than the last block turns it."
    about = ("task", "context", "subject", "site", "metric", "variant", "tokens")
    keys = [key("layers", row, about) for row in rows.to_dict("records")]
    evidence = f"Cosine of a token's state before and after the norm (1: not turned): {told}. {more}"
    yield Answer(
        headline,
        evidence,
        command(said.source, "ablate", few(said.who(turned)), "--what", "norm_reset:final") if turned else "",
        _small(limits),
        [*keys, *_rows(turned)],
    )


def _turning(whose: Sequence[Subject], of: int) -> str:
    """In whom the final norm turns the states more than the last block does."""
    if len(whose) == of:
        return "The final norm turns more than the last block"
    many = f"{len(whose)} of {of}"
    return f"{whose[0].short if len(whose) == 1 else many}: final norm turns more than last block"


def _three(row: "pd.Series") -> tuple[str, str]:
    """Three decimals: near 1 more of them say nothing."""
    value, low, high = (f"{row[name]:.3f}" for name in ("value", "ci_low", "ci_high"))
    return value, f"[{low}, {high}]"


def _offset(said: Said) -> Iterator[Answer]:
    """What an offset of all text, and a few tokens, do to raw likeness."""
    shared, sinks = said.of(SHARED), said.of(SINKS)
    told: list[str] = []
    limits: list[str] = []
    for mine, what in ((shared, "an offset that all text shares"), (sinks, "a few tokens of outlying norm")):
        if mine:
            middle, small = spread(said.values(mine))
            of = "" if len(mine) == len(said.subjects) else f" in {len(mine)} of {len(said.subjects)} models"
            told.append(f"Of the raw cosine {what} add{'s' if mine is shared else ''}{of}, at most: {middle}.")
            limits.append(small)
    quiet = [
        f"No block's gap between {words} is wholly above {threshold:g}."
        for mine, there, words, threshold in (
            (shared, said.has("inter_token_cosine", "centred"), "raw and centred cosine", OFFSET),
            (sinks, said.has("inter_token_cosine", tokens="all"), "all tokens and all but sinks", SINK),
        )
        if there and not mine and not said.of(UNTOLD)
    ]
    if not told and not quiet:
        return
    headline = {
        (True, True): "An offset and sinks make tokens look alike",
        (True, False): "An offset makes tokens look alike",
        (False, True): "Sinks make tokens look alike",
        (False, False): "Neither sinks nor offset decide the likeness",
    }[bool(shared), bool(sinks)]
    if not told and len(quiet) == 1:
        headline = "Sinks do not decide the likeness" if "sinks" in quiet[0] else "No offset decides the likeness"
    next_one = _attribute(said, shared)
    small = _small("; ".join(filter(None, limits)), "Intervals of a gap are the rows' own, end against end")
    yield Answer(headline, " ".join([*told, *quiet]), next_one, small if told else "", _rows([*shared, *sinks]))


def _features(said: Said) -> Iterator[Answer]:
    mine = said.of(FEATURES)
    if mine:
        told, limits = spread(said.values(mine))
        evidence = f"Share of the raw cosine that the three largest features carry: {told}."
        yield Answer("Three features carry most of the likeness", evidence, "", _small(limits), _rows(mine))


def _redundant(said: Said) -> Iterator[Answer]:
    """Runs of neighbouring blocks that change next to nothing, or that there are none."""
    mine = said.of(REDUNDANT)
    if not mine:
        if said.has("update_ratio") and not said.of(UNTOLD) and (said.pairs["metric"] == "cka").any():
            evidence = f"No block has an update wholly below {SMALL:g} of the state and CKA above {SAME:g}."
            yield Answer("No block changes next to nothing", evidence)
        return
    whose = said.who(mine)
    shown = [each for each in mine if each["subject"] in {s.label for s in whose[:3]}]
    told = joined(f"{said.subjects[each['subject']].short} {_run(each)}" for each in shown)
    more = f"; {len(whose) - 3} more models in the rows" if len(whose) > 3 else ""
    evidence = f"Updates below {SMALL:g} of the state and a CKA above {SAME:g}: {told}{more}."
    next_one = command(said.source, "ablate", few(whose), "--what", "residual_scaled:0", "--each-block")
    small = "Whole intervals past both thresholds. Whether the loss needs these blocks is another question."
    yield Answer("Some blocks change next to nothing", evidence, next_one, small, _rows(mine))


def _run(found: Finding) -> str:
    return str(found["claim"]).partition(" change next")[0]


def _care(said: Said, scene: str) -> str:
    units = [each["units"] for each in said.found if each["units"] is not None]
    few_units = f" from {min(units)} units" if units else ""
    where = scene if len(said.source.scenes) == 1 else f"{scene} (the findings hold the other tasks and contexts)"
    return (
        f"Flow: {where},{few_units} and one training a model. The intervals say what more text of the same sources "
        "would change, not another training, and are not corrected for choosing among blocks."
    )
