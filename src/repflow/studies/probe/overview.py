"""A probe run's rows of the page's overview: how much can be read at each site, small."""

from collections.abc import Iterator

import pandas as pd

from repflow.drawing.labels import number
from repflow.drawing.multiples import Curve, Multiples, State
from repflow.drawing.source import Scene, Source, in_scene, is_final, where
from repflow.studies.probe.frames import Probes, told_position
from repflow.studies.probe.verdicts import ABOVE

_TITLES = {"position": "Place readable", "value": "Value readable"}


def overview(source: Source) -> list[Multiples]:
    """A row a target, at the first place of the prompt where it was looked for."""
    found: Probes | None = source.parts.get("probe")
    rows = [] if found is None else [_row(source, found, target) for target in found.targets]
    return [row for row in rows if row.states]


def _row(source: Source, probes: Probes, target: str) -> Multiples:
    position = next(place for place, looked, _ in probes.readings if looked == target)
    unit = f"accuracy of a linear probe, {told_position(position)}"
    states = tuple(
        State(curves, scene=scene)
        for scene in probes.scenes
        if (curves := tuple(_curves(source, probes, scene, position, target)))
    )
    return Multiples(f"probe_{target}", _TITLES.get(target, target), unit, "probes-probe_depth", states, whole=True)


def _curves(source: Source, probes: Probes, scene: Scene, position: str, target: str) -> Iterator[Curve]:
    rows, summary = (in_scene(f, scene, position=position, target=target) for f in (probes.sites, probes.summary))
    rows = rows[~is_final(rows["site"], rows["depth"])].sort_values("site_index", kind="stable")
    for subject in source.subjects:
        mine = where(rows, subject=subject.label)
        if mine["accuracy"].notna().any():
            yield _curve(subject.label, mine, where(summary, subject=subject.label))


def _curve(label: str, rows: pd.DataFrame, summary: pd.DataFrame) -> Curve:
    x, y, low, high = (
        tuple(pd.to_numeric(rows[c]).astype(float).tolist()) for c in ("depth", "accuracy", "ci_low", "ci_high")
    )
    above = summary[summary["verdict"] == ABOVE]
    chance = f"chance {number(float(rows['chance'].iloc[0]), 2)}"
    if above.empty:
        said, last = f"no site is above chance, {chance}", "at chance"
    else:
        peak, last = number(float(above["peak"].iloc[0]), 2), number(y[-1], 2)
        said = f"peak {peak} at {above['peak_site'].iloc[0]}, {last} at the end, {chance}"
    return Curve(label, x, y, low, high, tuple(rows["site_index"].astype(int)), said, last)
