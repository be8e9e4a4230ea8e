"""The tables of a lab as the page reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from repflow.drawing.source import RunLike, entries
from repflow.drawing.style import Style, styles
from repflow.studies.lab.findings import group_name


@dataclass(frozen=True, slots=True)
class Group:
    """An architecture and a loss, over its seeds."""

    name: str
    architecture: str
    loss: str
    trained: bool
    style: Style
    labels: tuple[str, ...]
    """Its subjects."""
    about: str
    """What the grid says of it."""


@dataclass(frozen=True)
class Lab:
    """A lab's tables, and its groups in the order of the grid."""

    cells: pd.DataFrame
    outcomes: pd.DataFrame
    summary: pd.DataFrame
    contrasts: pd.DataFrame
    slopes: pd.DataFrame
    failures: pd.DataFrame
    layers: pd.DataFrame
    """Of every cell at its last step, those of seeds that the page does not draw by themselves too."""
    groups: tuple[Group, ...]
    question: str


def read_lab(run: RunLike) -> Lab | None:
    """None for a run that no lab wrote."""
    info = run.info if isinstance(run.info, Mapping) else {}
    facts = [each for each in entries(info, "subjects") if isinstance(each.get("cell"), Mapping)]
    table: Any = getattr(run, "table", None)
    if not facts or table is None:
        return None
    named = ("cells", "outcomes", "groups", "contrasts", "slopes", "failures")
    layers = run.layers
    if len(layers):
        last = layers["step"].fillna(0)
        layers = layers[last == last.groupby(layers["subject"]).transform("max")]
    tables: list[pd.DataFrame] = [table(name) for name in named]
    return Lab(*tables, layers=layers, groups=_groups(facts), question=str(info.get("question", "")))


def _groups(facts: list[Mapping[str, Any]]) -> tuple[Group, ...]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in facts:
        found.setdefault((str(each["cell"]["architecture"]), str(each["cell"]["loss"])), []).append(each)
    looks = styles([str(mine[0].get("kind", "other")) for mine in found.values()])
    return tuple(
        Group(
            name=group_name(architecture, loss),
            architecture=architecture,
            loss=loss,
            trained=bool(mine[0]["cell"]["trained"]),
            style=style,
            labels=tuple(str(each["label"]) for each in mine),
            about=_about(mine[0]["cell"]),
        )
        for ((architecture, loss), mine), style in zip(found.items(), looks, strict=True)
    )


def _about(cell: Mapping[str, Any]) -> str:
    blocks = str(cell.get("blocks", ""))
    mixers = blocks if len(set(blocks)) > 1 else f"{len(blocks)} blocks"
    parts = [str(cell.get("family")), mixers, f"width {cell.get('width')}"]
    if "m" in blocks:
        parts.append(f"state {cell.get('state')}")
    if cell.get("norm", "own") != "own":
        parts.append(f"norms {cell.get('norm')}")
    if cell.get("rate", 1.0) != 1.0:
        parts.append(f"learning rate times {cell['rate']:g}")
    return ", ".join(parts)
