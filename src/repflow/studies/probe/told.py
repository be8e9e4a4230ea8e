"""Which block to probe, and what the last one loses, in sentences for the top of a page.

Nothing is said of a probe at chance but that it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from repflow.drawing.labels import joined
from repflow.drawing.source import Scene, Source, Subject, in_scene
from repflow.studies.kit.saying import (
    FEW,
    LAST_LEFT_OUT,
    Value,
    blocks_of,
    capital,
    care,
    command,
    few,
    key,
    names,
    spread,
)
from repflow.studies.kit.study import Answer
from repflow.studies.probe.frames import Probes
from repflow.studies.probe.verdicts import ABOVE, LEVEL, TOLD, UNKNOWN, no_peak, percent, told_position, units_of

WASTED = 0.15
"""A drop from the peak to the last block, in shares of 1, above which depth is wasted (METHODS, failure signatures)."""
_KEY = ("subject", "task", "context", "position", "target")
_POINTS = "points"
_SOME = {UNKNOWN: "Some probes have no interval", LEVEL: "Some places are read at chance"}


def answers(source: Source) -> list[Answer]:
    """Of the first task and context, target by target, values first.

    In a run without probes flow guesses, where it has rows.
    """
    found: Probes | None = source.parts.get("probe")
    if found is None or not found.scenes:
        return _open(source) if source.layers.empty else []
    scene = found.scenes[0]
    own = in_scene(found.summary, scene)
    own = own[own["baseline_of"].isna()]
    targets = sorted(found.targets, key=lambda target: target != "value")
    made = [answer for target in targets for answer in _of_target(source, own[own["target"] == target])]
    made += [*_telling(source, found, scene), *_nothing(source, own)]
    return [*made, care(_care(found, scene, own))] if made else []


def _open(source: Source) -> list[Answer]:
    told = command(source, "probe", few(source.subjects), "--task", "kvpr", "--items", "8", task=False)
    evidence = "A probe run reads every block at once and tells where a task's answer is readable."
    return [Answer("Which block to probe is not measured here", evidence, told)] if told else []


def _of_target(source: Source, rows: pd.DataFrame) -> Iterator[Answer]:
    """Where best to read it, and what the last block has lost by then: of each subject at its best place."""
    above = rows[rows["verdict"] == ABOVE].sort_values("peak", ascending=False, kind="stable")
    best = above.drop_duplicates("subject").to_dict("records")
    if best:
        yield _peaks(source, rows, best)
        yield _drops(source, best)


def _known(source: Source) -> dict[str, Subject]:
    return {subject.label: subject for subject in source.subjects}


def _peaks(source: Source, rows: pd.DataFrame, best: Sequence[Mapping[Any, Any]]) -> Answer:
    known, target = _known(source), str(best[0]["target"])
    sites = dict.fromkeys(str(row["peak_site"]) for row in best)
    ordered = [_percent(known[row["subject"]], row, "peak", _place(row)) for row in best]
    told, limits = spread(ordered) if len(best) <= FEW else _by_depth(known, best)
    guess = max(float(row["majority"]) for row in best), max(float(row["chance"]) for row in best)
    chance = f"chance {percent(guess[1])}%" + (f", majority {percent(guess[0])}%" if guess[0] > guess[1] else "")
    none = [known[label] for label in rows["subject"].unique() if label not in {row["subject"] for row in best}]
    several = f" For {names(none, rows['subject'].nunique())} nothing is read above chance." if none else ""
    which = " or ".join(sorted(sites, key=_number))
    headline = f"Probe {which} for {TOLD[target]}" if len(sites) <= 2 else "Which block to probe depends on the model"
    evidence = f"{capital(TOLD[target])} is read best: {told} ({chance}).{several}"
    places = joined(dict.fromkeys(told_position(str(row["position"])) for row in best))
    few_units = min(row["n_units"] for row in best)
    small = (
        f"{limits}; in brackets behind a block the interval of its place. Read: {places}; corrected for choosing "
        f"among {max(row['n_sites'] for row in best):.0f} sites, not for choosing among places; "
        f"{units_of(best[0]['task'], few_units)}."
    )
    return Answer(headline, evidence, "", small, [_key(row) for row in best])


def _number(site: str) -> int:
    _, _, number = site.partition(".")
    return int(number) if number.isdigit() else -1


def _place(row: Mapping[Any, Any]) -> str:
    """The peak and how far its place is uncertain."""
    ends = "" if row["peak_from"] == row["peak_to"] else f" ({row['peak_from']} to {row['peak_to']})"
    return f"at {row['peak_site']}{ends}"


def _by_depth(known: Mapping[str, Subject], best: Sequence[Mapping[Any, Any]]) -> tuple[str, str]:
    """Of many subjects the shallowest and the deepest peak of each kind."""
    values = []
    for row in best:
        where = f"{row['peak_from']} to {row['peak_to']}"
        values.append(Value(known[row["subject"]], float(row["peak_depth"]), str(row["peak_site"]), where))
    return spread(values)


def _percent(subject: Subject, row: Mapping[Any, Any], name: str, where: str, unit: str = "%") -> Value:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return Value(subject, value, f"{percent(value)}{unit}", f"[{percent(low)}, {percent(high)}]", where)


def _drops(source: Source, best: Sequence[Mapping[Any, Any]]) -> Answer:
    """By how much the last block falls below the peak, and for whom that is clear."""
    known, what = _known(source), TOLD[str(best[0]["target"])]
    shown = [row for row in best if row["gap_low"] > 0]
    rest = [known[row["subject"]] for row in best if not row["gap_low"] > 0]
    wasted = [row for row in shown if row["gap_low"] > WASTED]
    if not shown:
        whose = "" if len(best) == 1 else f" in any of {len(best)} models"
        evidence = f"After the last block {what} is not read clearly worse than at the peak{whose}."
        about = str(best[0]["target"])
        return Answer(f"No clear drop of the {about} at the end", evidence, "", "", [_key(row) for row in best])
    told, limits = spread([_percent(known[row["subject"]], row, "gap", "", f" {_POINTS}") for row in shown])
    evidence = f"Of {what} the last block falls below the peak: {told}."
    if wasted:
        evidence += f" By more than {100 * WASTED:.0f} points, as a whole interval: "
        evidence += f"{names([known[row['subject']] for row in wasted], len(best))}."
    if rest:
        evidence += f" No drop is shown by {names(rest, len(best))}."
    whose = "The last block" if len(best) == 1 else f"In {len(shown)} of {len(best)} the last block"
    if len(shown) == 1 and len(best) > 1:
        whose = f"In {known[shown[0]['subject']].short} the last block"
    headline = f"{whose} reads worse than the peak"
    next_one = _last_block(source, [known[row["subject"]] for row in shown])
    return Answer(
        headline,
        evidence,
        next_one,
        f"{limits}. Whole intervals past 0; they take in the choice of the peak.",
        [_key(row) for row in best],
    )


def _last_block(source: Source, subjects: Sequence[Subject]) -> str:
    """Whether the model itself needs the block that reads worse."""
    if "ablate" in source.parts:
        return ""
    chosen = few(subjects)
    chosen = [each for each in chosen if blocks_of(each) is not None]
    return command(source, "ablate", chosen, "--what", LAST_LEFT_OUT) if chosen else ""


def _telling(source: Source, found: Probes, scene: Scene) -> Iterator[Answer]:
    """Where more is read than said; nothing where nothing was asked."""
    known = _known(source)
    rows = in_scene(found.telling, scene)
    rows = rows[(rows["at"] == "peak") & rows["gold_class"].isna() & rows["difference_low"].notna()]
    rows = rows[rows["subject"].isin(list(known))]
    if rows.empty:
        return
    best = rows.sort_values("difference", ascending=False, kind="stable").drop_duplicates("subject")
    shown = best[best["difference_low"] > 0].to_dict("records")
    keys = [_key(row) for row in best.to_dict("records")]
    small = "Each above its own chance level; corrected for choosing the site."
    if not shown:
        evidence = f"With none of {len(best)} models is the place read in clearly more prompts than are answered."
        yield Answer("Nothing is readable and not said", evidence, "", small, keys)
        return
    told, limits = spread([_percent(known[row["subject"]], row, "difference", "", f" {_POINTS}") for row in shown])
    whose = known[shown[0]["subject"]].short if len(shown) == 1 else f"{len(shown)} of {len(best)} models"
    said = "carries what it does not say" if len(shown) == 1 else "carry what they do not say"
    evidence = f"The place is read in more prompts, beyond guessing, than are answered rightly: {told}."
    yield Answer(f"{capital(whose) if len(shown) > 1 else whose} {said}", evidence, "", f"{limits}. {small}", keys)


def _nothing(source: Source, rows: pd.DataFrame) -> Iterator[Answer]:
    """Which probes are at chance, or have no interval, and why."""
    known = _known(source)
    for verdict, headline in ((UNKNOWN, "No interval, so no block is told"), (LEVEL, "No site is above chance")):
        mine = rows[rows["verdict"] == verdict]
        if mine.empty:
            continue
        where = dict.fromkeys(
            (str(row["position"]), str(row["target"])) for row in mine[["position", "target"]].to_dict("records")
        )
        told = [f"{TOLD[target]} ({told_position(position)})" for position, target in where]
        top = {str(k): v for k, v in mine.iloc[int(mine["highest"].fillna(-1).argmax())].to_dict().items()}
        whose = [known[label] for label in mine["subject"].drop_duplicates() if label in known]
        why = no_peak(top).partition(": ")[2] if verdict == LEVEL else no_peak(top)
        best = f"{known[str(top['subject'])].short}: {why}" if str(top["subject"]) in known else why
        everywhere = len(mine) == len(rows)
        evidence = f"{joined(told)}, {names(whose, rows['subject'].nunique())}; {best}."
        yield Answer(
            headline if everywhere else _SOME[verdict],
            capital(evidence),
            _again(source, whose, verdict) if everywhere or verdict == UNKNOWN else "",
            rows=[_key(row) for row in mine.to_dict("records")],
        )


def _again(source: Source, whose: Sequence[Subject], verdict: str) -> str:
    """What may tell: more groups, or the value where a model must have it."""
    more = ("--examples", "100") if verdict == UNKNOWN else ("--places", "ask", "gold", "--examples", "200")
    return command(source, "probe", few(whose), *more)


def _key(row: Mapping[Any, Any]) -> dict[str, Any]:
    table = "telling" if "difference_low" in row else "probe_summary"
    names_of = (*_KEY, "at", "site") if table == "telling" else _KEY
    return key(table, row, names_of)


def _care(found: Probes, scene: Scene, rows: pd.DataFrame) -> str:
    others = [each.title for each in found.scenes if each != scene]
    more = f" The section below has {joined(others)} too." if others else ""
    few_units = units_of(scene.task, float(rows["n_units"].min())) if len(rows) else ""
    return (
        f"Probes: {scene.title}, {few_units}, one training a model. A linear readout finds what is there in linear "
        f"form, not what the model uses.{more}"
    )
