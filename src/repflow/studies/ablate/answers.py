"""Whether the last block is worth its cost, and what moves early likeness, in sentences for the top of a page."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from repflow.core.many import holm, p_values
from repflow.drawing.labels import joined, number
from repflow.drawing.source import POLICIES, Scene, Source, Subject, in_scene
from repflow.store import units_frame
from repflow.studies.ablate.frames import scenes_of, told_change
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

UNUSED = 0.01
"""Nats that leaving out the last blocks may cost for them to be unused."""
LEVEL = 0.05
_LOSS, _RIGHT = "next_token_loss", "answer_accuracy"
_LEFT_OUT = re.compile(r"residual_scaled:[-+]?0*\.?0*")
_LAST = "block.-1"
_BLOCKS = re.compile(r"block\.(?P<first>\d+)(-(?P<last>\d+))?")
_KEY = ("subject", "changed", "task", "context", "metric", "variant", "tokens", "scope")
Row = Mapping[Any, Any]


def answers(source: Source) -> list[Answer]:
    """Of the first task and context; of a run that left no last block out the command that would tell."""
    rows: pd.DataFrame | None = source.parts.get("ablate")
    if rows is None:
        return _open(source)
    scene = Scene(*scenes_of(rows)[0])
    here = in_scene(rows, scene)
    known = {subject.label: subject for subject in source.subjects}
    here = here[here["subject"].isin(list(known))]
    early = here[(here["metric"] == "inter_token_cosine") & (here["variant"] == "raw") & (here["scope"] == "early")]
    there = set(early["tokens"])
    policy = next((name for name in POLICIES if name in there), "")
    tried = _corrected(source, early[early["tokens"] == policy])
    last = [*_last_block(known, here)]
    made = [*(last or _open(source)), *_moved(known, tried), *_weakened(known, tried)]
    return [*made, care(_care(scene))]


def _open(source: Source) -> list[Answer]:
    """The command that leaves out the last block of every subject asked of."""
    able = [subject for subject in few(source.subjects) if blocks_of(subject) is not None]
    if not able:
        return []
    told = command(source, "ablate", able, "--what", LAST_LEFT_OUT)
    if not told:
        return []
    evidence = "This run left no last block out. The loss or the answers without it tell; below 0.01 nats it is unused."
    return [Answer("Is the last block worth it? Not measured", evidence, told)]


def _without_last(row: Row, subject: Subject) -> bool:
    """Whether a change leaves out a run of blocks that ends with the last one."""
    found, blocks = _BLOCKS.fullmatch(str(row["blocks"])), blocks_of(subject)
    if str(row["blocks"]) == _LAST and _LEFT_OUT.fullmatch(str(row["what"])):
        return True
    if found is None or blocks is None or not _LEFT_OUT.fullmatch(str(row["what"])):
        return False
    return int(found["last"] or found["first"]) == blocks - 1 and int(found["first"]) > 0


def _last_block(known: Mapping[str, Subject], rows: pd.DataFrame) -> Iterator[Answer]:
    """What leaving out the last block, or the last few, costs: a sentence for the loss and one for answers."""
    for metric in (_LOSS, _RIGHT):
        mine = rows[rows["metric"] == metric].to_dict("records")
        mine = [row for row in mine if _without_last(row, known[row["subject"]])]
        counted = [row for row in mine if row["difference_low"] == row["difference_low"]]
        if mine and not counted:
            yield Answer("What the last block does is not told", "Too few units make an interval.", rows=_rows(mine))
        elif counted:
            yield _cost(known, counted, metric)


def _cost(known: Mapping[str, Subject], rows: Sequence[Row], metric: str) -> Answer:
    groups: dict[str, list[Row]] = {"worth": [], "unused": [], "open": []}
    for row in rows:
        groups[_worth(row, metric)].append(row)
    without = dict.fromkeys(_without(row, known) for row in rows)
    alike = next(iter(without)) if len(without) == 1 else ""
    values = [_difference(known[row["subject"]], row, "" if alike else _without(row, known)) for row in rows]
    told, limits = spread(values)
    what = "the next-token loss changes by (nats)" if metric == _LOSS else "the share of right answers changes by"
    evidence = f"{capital(f'{alike} {what}'.strip())}: {told}."
    for name, said in (("unused", "Unused (wholly below 0.01)"), ("open", "Not told, the interval is too wide")):
        if groups[name] and len(groups[name]) < len(rows):
            evidence += f" {said}: {names(_subjects(known, groups[name]), len(rows))}."
    small = f"{limits}. Paired by example; no model was trained without the block. Threshold {UNUSED:g} nats."
    if metric == _RIGHT:
        small = f"{limits}. Paired by prompt; no model was trained without the block."
    return Answer(_headline(groups, len(rows)), evidence, "", small, _rows(rows))


def _worth(row: Row, metric: str) -> str:
    if metric == _RIGHT:
        return "worth" if row["difference_high"] < 0 else "open"
    if row["difference_low"] > UNUSED:
        return "worth"
    return "unused" if row["difference_high"] < UNUSED else "open"


def _headline(groups: Mapping[str, Sequence[Row]], of: int) -> str:
    if len(groups["worth"]) == of:
        return "The last block is worth its cost"
    if len(groups["unused"]) == of:
        return "The last block is not worth its cost"
    if len(groups["open"]) == of:
        return "Whether the last block is worth it: undecided"
    return f"The last block is worth it in {len(groups['worth'])} of {of}"


def _without(row: Row, known: Mapping[str, Subject]) -> str:
    where = "the last block" if row["blocks"] == _LAST else str(row["blocks"])
    return f"without {where} of {blocks_of(known[row['subject']])}"


def _difference(subject: Subject, row: Row, where: str) -> Value:
    value, low, high = (_signed(row[f"difference{end}"]) for end in ("", "_low", "_high"))
    return Value(subject, row["difference"], value, f"[{low}, {high}]", where)


def _signed(value: float) -> str:
    told = number(abs(value)) if abs(value) >= 1e-3 else f"{abs(value):.4f}"
    return f"{'−' if value < 0 else '+'}{told}"


def _corrected(source: Source, rows: pd.DataFrame) -> pd.DataFrame:
    """With the p-value of every change, corrected for looking at all of them (Holm).

    Without those that cannot reach: a change behind these blocks leaves their numbers as they are, to the bit.
    """
    reaches = rows["difference"].ne(0) | rows["difference_low"].ne(0) | rows["difference_high"].ne(0)
    known = rows[rows["difference_low"].notna() & reaches].copy()
    units = units_frame(source.info)
    least = units["n_units"].min() if len(units) else float("inf")
    counted = known["n_examples"].clip(upper=least).astype(float)
    found = p_values(known["difference"], known["difference_low"], known["difference_high"], counted)
    known["p_holm"] = holm([float(p) for p in found])
    return known


def _moved(known: Mapping[str, Subject], tried: pd.DataFrame) -> Iterator[Answer]:
    """The change that moves early likeness most, in each subject."""
    clear = tried[tried["p_holm"] <= LEVEL]
    if tried.empty:
        return
    small = f"Of {len(tried)} changes tried, corrected for their number (Holm); not tested against the next."
    if clear.empty:
        evidence = "No change moves the inter-token cosine of the first third of depth beyond chance."
        yield Answer("No change clearly moves early likeness", evidence, "", small, _rows(tried.to_dict("records")))
        return
    order = clear.assign(size=clear["difference"].abs()).sort_values("size", ascending=False, kind="stable")
    most = order.drop_duplicates("subject").to_dict("records")
    told, limits = spread([_difference(known[row["subject"]], row, f"by {_change(row)}") for row in most])
    by = {_change(row) for row in most}
    headline = f"{by.pop()} moves early likeness most" if len(by) == 1 else "What moves early likeness most"
    missing = [s for label, s in known.items() if label not in {row["subject"] for row in most}]
    more = f" Nothing clearly moves it in {names(missing, len(known))}." if missing else ""
    evidence = f"Largest change of the early inter-token cosine: {told}.{more}"
    yield Answer(headline, evidence, "", f"{limits}. {small}", _rows(most))


def _weakened(known: Mapping[str, Subject], tried: pd.DataFrame) -> Iterator[Answer]:
    """Which changes of norms and attention weaken early likeness."""
    mine = tried[tried["what"].str.contains(r"^(?:norm|attention)_", regex=True)]
    if mine.empty:
        return
    clear = mine[(mine["p_holm"] <= LEVEL) & (mine["difference"] < 0)]
    keys = _rows((clear if len(clear) else mine).to_dict("records"))
    if clear.empty:
        tried_ones = joined(dict.fromkeys(_change(row) for row in mine.to_dict("records")))
        evidence = f"None lowers the inter-token cosine of the first third beyond chance: tried were {tried_ones}."
        small = "Whole intervals below 0 were asked for, corrected for all changes tried (Holm)."
        yield Answer("No change of norms or attention weakens it", evidence, "", small, keys)
        return
    told: list[str] = []
    clear = clear.assign(change=[_change(row) for row in clear.to_dict("records")])
    for change, rows in clear.groupby("change", sort=False):
        values = [_difference(known[row["subject"]], row, "") for row in rows.to_dict("records")]
        told.append(f"{change} in {spread(values)[0]}")
    shown = told[:FEW]
    more = f"; {len(told) - len(shown)} more changes in the rows" if len(told) > len(shown) else ""
    evidence = f"The early inter-token cosine falls by {'; '.join(shown)}{more}."
    what = joined(dict.fromkeys(str(row["what"]).partition("_")[0] for row in clear.to_dict("records")))
    headline = f"Without {what.replace('norm', 'norms')} early likeness is weaker"
    small = "Whole intervals below 0, corrected for all changes tried (Holm); the other changes do not weaken it."
    yield Answer(headline, evidence, "", small, keys)


def _change(row: Row) -> str:
    return told_change(str(row["what"]), str(row["blocks"]))


def _subjects(known: Mapping[str, Subject], rows: Sequence[Row]) -> list[Subject]:
    return [known[label] for label in dict.fromkeys(str(row["subject"]) for row in rows)]


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [key("ablations", row, _KEY) for row in rows]


def _care(scene: Scene) -> str:
    return (
        f"Ablations: {scene.title}, one training a model. A change breaks what was trained with the part; a model "
        "trained without it may do as well."
    )
