"""The claims of a run in the terminal: every statistic with its verdict, and what each model has."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding

from repflow.drawing.labels import estimate
from repflow.drawing.rich import words
from repflow.store import Run
from repflow.studies.kit.study import Shown
from repflow.studies.paper.frames import ALTERNATIVES, Line, heading, lines, read_claims
from repflow.studies.paper.rows import UNTESTABLE
from repflow.studies.paper.texts import CLAIMS

_LEGEND = (
    "holds, fails: in every model of the kind, over its whole 95% interval (over other text of the same sources, one "
    "training a model); undecided: neither. In brackets the same decision with Hugging Face's list of states, all "
    "tokens, centred states, where it comes out otherwise. claims.parquet has every number."
)


def print_claims(run: Run, shown: Shown, out: Console) -> None:
    """Claim by claim; nothing for a run without claims."""
    claims = read_claims(run)
    if claims is None:
        return
    for claim, mine in grouped(lines(claims), lambda line: line.claim):
        out.print(words(f"{claim}  {CLAIMS.get(claim, '')}", style="bold"))
        for (statistic, rule, kind), group in grouped(mine, heading):
            out.print(Padding(words(f"{statistic}: {', '.join(filter(None, (rule, kind)))}"), (0, 0, 0, 4)))
            for text in _told(group, shown):
                out.print(Padding(words(text, style="dim"), (0, 0, 0, 8)))
    out.print(words(_LEGEND, style="dim"))


def grouped(found: Iterable[Line], key: Callable[[Line], Any]) -> list[tuple[Any, list[Line]]]:
    """In the order in which the keys first come."""
    groups: dict[Any, list[Line]] = {}
    for line in found:
        groups.setdefault(key(line), []).append(line)
    return list(groups.items())


def _told(group: Sequence[Line], shown: Shown) -> Iterator[str]:
    """A line a reading; those that cannot be tested for one reason share a line."""
    idle: dict[str, list[str]] = {}
    for line in group:
        if line.about["verdict"] == UNTESTABLE:
            idle.setdefault(str(line.about["reason"]), []).append(line.where)
            continue
        models = "; ".join(f"{shown.name(row['subject'])} {told(row)}" for row in line.models)
        others = [f"{title}: {line.about[name]}" for name, title in ALTERNATIVES if _otherwise(line, name)]
        behind = f" ({'; '.join(others)})" if others else ""
        yield f"{line.about['verdict']}{behind}, {line.where}: {models}"
    for reason, where in idle.items():
        yield f"{UNTESTABLE}, {reason}" + (f": {'; '.join(where)}" if any(where) else "")


def _otherwise(line: Line, name: str) -> bool:
    return line.about[name] not in ("", line.about["verdict"])


def told(row: dict[str, Any]) -> str:
    """A model's number, and its verdict where it has one."""
    if math.isnan(row["value"]):
        return str(row["reason"])
    return " ".join(filter(None, (*estimate(row["value"], row["ci_low"], row["ci_high"]), row["verdict"])))
