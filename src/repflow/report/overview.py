"""The overview of a page: a row a quantity, a column a subject, drawn small and on one axis along a row."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from repflow.drawing.labels import number
from repflow.drawing.multiples import Multiples, State
from repflow.drawing.source import Scene, Subject
from repflow.drawing.style import Style
from repflow.drawing.svg import Axis, sparkline, thumbnail
from repflow.report.lead import kind_name

MOST_COLUMNS = 8
_MOST_MAPS = 3
"""So many maps stand in a column of several subjects."""


@dataclass(frozen=True)
class Column:
    """A subject, or several of a kind."""

    title: str
    subjects: tuple[Subject, ...]
    places: tuple[int, ...]
    """Among all subjects of the page."""

    @property
    def style(self) -> Style | None:
        return self.subjects[0].style if len(self.subjects) == 1 else None


@dataclass(frozen=True)
class Row:
    """What the template draws at first, and what the script puts in its place for another choice."""

    multiples: Multiples
    place: str
    states: list[dict[str, Any]]


def columns_of(subjects: Sequence[Subject], drawn: Container[str]) -> list[Column]:
    """A column each of those drawn; of more than eight a column a kind, or a family where all are of one kind."""
    shown = [(place, s) for place, s in enumerate(subjects) if s.label in drawn]
    if len(shown) <= MOST_COLUMNS:
        return [Column(s.short, (s,), (place,)) for place, s in shown]
    alike = len({s.kind for _, s in shown}) == 1
    named = [str(s.facts.get("family", s.kind)) if alike else kind_name(s.kind, 2) for _, s in shown]
    found: list[Column] = []
    for kind in dict.fromkeys(named):
        mine = [pair for pair, name in zip(shown, named, strict=True) if name == kind]
        places, members = zip(*mine, strict=True)
        found.append(Column(f"{kind} ({len(mine)})", members, places))
    return found


def rows_of(
    multiples: Sequence[tuple[str, Multiples]], columns: Sequence[Column], scenes: Sequence[Scene]
) -> list[Row]:
    """Each row under every choice; multiples come with the prefix of their part's anchors."""
    looks = {s.label: s.style for column in columns for s in column.subjects}
    places = {s.label: place for column in columns for s, place in zip(column.subjects, column.places, strict=True)}
    return [
        Row(
            each,
            f"{prefix}{each.place}",
            [
                _drawn(each, state, columns, scenes, looks, places, whole)
                for state in each.states
                for whole in ((False, True) if each.whole and state.curves else (False,))
            ],
        )
        for prefix, each in multiples
    ]


def _drawn(
    row: Multiples,
    state: State,
    columns: Sequence[Column],
    scenes: Sequence[Scene],
    looks: Mapping[str, Style],
    places: Mapping[str, int],
    whole: bool,
) -> dict[str, Any]:
    axis = Axis.over(state.curves, logarithmic=row.logarithmic, whole=whole)
    cells = [
        _curves(column, state, axis, looks, places) if state.curves else _maps(column, state) for column in columns
    ]
    ends = f"{number(axis.low, 2)} to {number(axis.high, 2)}" if state.curves else ""
    axes = {"axes": "whole" if whole else "fit"} if row.whole and state.curves else {}
    scene = {"scene": scenes.index(state.scene)} if state.scene in scenes else {}
    return {"tokens": state.tokens, "variant": state.variant, "range": ends, "cells": cells, **scene, **axes}


def _curves(
    column: Column, state: State, axis: Axis, looks: Mapping[str, Style], places: Mapping[str, int]
) -> tuple[str, str] | None:
    mine = {s.label for s in column.subjects}
    own = [curve for curve in state.curves if curve.subject in mine]
    if not own:
        return None
    others = [curve for curve in state.curves if curve.subject not in mine]
    return sparkline(own, others, axis, looks, places), _told(column, {curve.subject: curve.said for curve in own})


def _maps(column: Column, state: State) -> tuple[str, str] | None:
    mine = {s.label for s in column.subjects}
    own = [found for found in state.maps if found.subject in mine]
    if not own:
        return None
    shown = own[:_MOST_MAPS]
    more = f"<small>and {len(own) - len(shown)} more</small>" if len(own) > len(shown) else ""
    return "".join(map(thumbnail, shown)) + more, _told(column, {found.subject: found.said for found in shown})


def _told(column: Column, said: Mapping[str, str]) -> str:
    names = {s.label: s.short for s in column.subjects}
    return "; ".join(f"{names[label]}: {text}" for label, text in said.items())


def at_first(row: Row) -> list[tuple[Markup, str] | None]:
    """The cells that stand in the page before any script: markup of our own making, and words."""
    return [None if cell is None else (Markup(cell[0]), cell[1]) for cell in row.states[0]["cells"]]
