"""The claims as one table of the page: a group a claim, a line a statistic with its verdict under every choice."""

from collections.abc import Iterable

from repflow.drawing.labels import joined
from repflow.drawing.source import Source, Subject
from repflow.drawing.table import Group, Head, Heading, Line, Table, TableCell
from repflow.studies.kit.saying import FEW, Value, spread
from repflow.studies.paper import frames
from repflow.studies.paper.rows import FAILS, HOLDS, UNTESTABLE
from repflow.studies.paper.show import grouped, told
from repflow.studies.paper.texts import CLAIMS

FILLS = {HOLDS: "#d7e7f5", FAILS: "#fce3d0"}
"""The colour behind a decided verdict."""


def claims_table(source: Source, claims: Iterable[frames.Line]) -> Table:
    """Every claim; readings that cannot be tested for the same reason share a line."""
    subjects = {subject.label: subject for subject in source.subjects}
    groups = tuple(
        Group(tuple(_lines(mine, subjects)), Head(claim, CLAIMS.get(claim, ""), words=True))
        for claim, mine in grouped(claims, lambda line: line.claim)
    )
    alternatives = (Heading(f"with {title}", _MEANING) for _, title in frames.ALTERNATIVES)
    headings = (Heading("verdict"), *alternatives, Heading("model by model", words=True))
    return Table(("claim", "statistic that decides"), headings, groups)


_MEANING = "The same decision; a dash where the choice changes nothing or was not measured."


def _lines(found: Iterable[frames.Line], subjects: dict[str, Subject]) -> Iterable[Line]:
    for (statistic, rule, kind), group in grouped(found, frames.heading):
        must = ", ".join(filter(None, (rule, kind)))
        for line in group:
            if line.about["verdict"] != UNTESTABLE:
                yield _line(line, statistic, ", ".join((must, line.where)), subjects)
        idle = [line for line in group if line.about["verdict"] == UNTESTABLE]
        for reason, lines in grouped(idle, lambda line: str(line.about["reason"])):
            where = joined(filter(None, (line.where for line in lines)))
            nothing = (TableCell("–"),) * len(frames.ALTERNATIVES)
            last = TableCell(reason, where, faint=True, words=True)
            yield Line((TableCell(UNTESTABLE, faint=True), *nothing, last), Head(statistic, must, words=True))


def _line(line: frames.Line, statistic: str, small: str, subjects: dict[str, Subject]) -> Line:
    about = line.about
    verdicts = (_verdict(str(about[name])) for name, _ in frames.ALTERNATIVES)
    last = TableCell(_models(line, subjects), str(about["reason"]), words=True)
    return Line((_verdict(str(about["verdict"])), *verdicts, last), Head(statistic, small, words=True))


def _verdict(verdict: str) -> TableCell:
    return TableCell(verdict or "–", fill=FILLS.get(verdict, ""), faint=not verdict)


def _models(line: frames.Line, subjects: dict[str, Subject]) -> str:
    """Each of a few models with number and verdict; of more the extremes of each kind."""
    if len(line.models) <= 2 * FEW:
        return "; ".join(f"{_short(row['subject'], subjects)} {told(row)}" for row in line.models)
    numbers = [
        Value.of(subjects[row["subject"]], row["value"], row["ci_low"], row["ci_high"])
        for row in line.models
        if row["subject"] in subjects and row["value"] == row["value"]
    ]
    return spread(numbers)[0] if numbers else ""


def _short(label: str, subjects: dict[str, Subject]) -> str:
    return subjects[label].short if label in subjects else label
