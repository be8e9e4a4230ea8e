"""Panels of an attribution run: trained against random over depth, and the shares with their verdicts."""

from collections.abc import Mapping
from typing import Any

from repflow.core.quantities import Quantity
from repflow.drawing.labels import joined
from repflow.drawing.panel import Cell, Panel, Section, View
from repflow.drawing.plotly import Figure
from repflow.drawing.source import Scene, Source, Subject
from repflow.drawing.table import frame_uri
from repflow.studies.attribute.figures import SCHEMES, TRAINED, scheme_curves
from repflow.studies.attribute.frames import Attribution, of_cell, verdicts
from repflow.studies.attribute.frames import Cell as Where
from repflow.studies.attribute.table import pools, share_table


def sections(source: Source) -> list[Section]:
    """The section on trained against random weights, with its table to take away; none for a run without it."""
    found: Attribution | None = source.parts.get("attribute")
    if found is None:
        return []
    csv = ("shares.csv", "Table as CSV, with every column", frame_uri(found.shares))
    drawn = attribution_panels(source)
    return [Section("attribution", "Architecture or training?", "Architecture or training", drawn, [csv], about=_ABOUT)]


def attribution_panels(source: Source) -> list[Panel]:
    """The panels of an attribution run; empty for another."""
    found = source.parts.get("attribute")
    return [] if found is None else [_depth(source, found), _table(source, found)]


def _depth(source: Source, found: Attribution) -> Panel:
    cells = tuple(Cell(s.short, s.label) for s in source.subjects)
    views = tuple(
        View(
            where[3],
            found.told(where),
            tuple(_curves(source, found, where, s) for s in source.subjects),
            **_chosen(where),
        )
        for where in found.cells
    )
    legend = (("trained", TRAINED), *((name, SCHEMES[name]) for name in found.names))
    return Panel(
        "attribution_depth", _DEPTH.title, _DEPTH, views, cells, "grid" if len(cells) > 1 else "wide", legend=legend
    )


def _chosen(where: Where) -> dict[str, Any]:
    """What the bar chooses of a view."""
    return {"scene": Scene(where[0], where[1]), "variant": where[2], "own": ""}


def _curves(source: Source, found: Attribution, where: Where, subject: Subject) -> Figure | None:
    trained = of_cell(source.layers, where, metric="inter_token_cosine", subject=subject.label)
    drawn = of_cell(found.schemes, where, subject=subject.label)
    return scheme_curves(trained, drawn, found.names) if len(trained) else None


def _table(source: Source, found: Attribution) -> Panel:
    views = tuple(
        View(
            where[3],
            found.told(where),
            table=share_table(source, found, where),
            said=_said(source, found, where),
            **_chosen(where),
        )
        for where in found.cells
    )
    return Panel("attribution_shares", _SHARES.title, _SHARES, views, layout="table")


def _said(source: Source, found: Attribution, where: Where) -> str:
    """How many thirds got which verdict, who has the decided ones, and what the run's power is."""
    thirds: dict[str, dict[str, list[str]]] = {}
    for s in (*pools(source, found.shares), *source.subjects):
        for third, verdict, _ in verdicts(source.findings, where, s.label):
            thirds.setdefault(verdict, {}).setdefault(s.short, []).append(third)
    sentences = [
        f"{verdict.capitalize()}: {joined(f'{short} ({joined(places)})' for short, places in thirds[verdict].items())}."
        for verdict in ("architecture", "reduced by training", "training", "mixed")
        if verdict in thirds
    ]
    counts = {verdict: sum(map(len, those.values())) for verdict, those in thirds.items()}
    if "undecided" in counts:
        sentences.append(f"Undecided: {counts['undecided']} of {sum(counts.values())}.")
    power = source.info.get("power")
    sentences += [str(power[where[2]])] if isinstance(power, Mapping) and where[2] in power else []
    return " ".join(sentences)


_ABOUT = "trained against random weights, shares, verdicts"
_DEPTH = Quantity(
    "",
    "Trained against random",
    "",
    "How alike the tokens of a sequence are at each site: with the trained weights (black), and with weights drawn "
    "anew.",
    "A scheme's line is the mean over its draws, its band the 95% interval over units and draws. A drawn line near the "
    "black one points to the architecture, one above it to likeness that training reduced, one near 0 to training; the "
    "verdicts below say where the intervals bear it out. "
    "Dotted lines (+matched) are the same scheme at the trained scale. permuted shuffles the trained values within "
    "each tensor: what it keeps may be due to the values that training left, not to the architecture.",
    "",
)
_SHARES = Quantity(
    "",
    "Random less trained, and their ratio",
    "",
    "What random weights show less what the trained ones show, first as a difference, under the family's own "
    "initialisation (config), then as a share under every scheme: 1 is all of it, 0 no more than random vectors, above "
    "1 training took likeness away. Means over the blocks of each third of depth.",
    "Brackets: 95% intervals over units and draws, the trained weights counting as one more draw. Blue: architecture, "
    "the whole interval is between 0.8 and 1.2; green: reduced by training, all above 1.2; orange: training, all below "
    "0.2; violet: mixed, all between; no colour: undecided. Verdicts are corrected for being several (point at a share "
    "for its p). The verdict is that of config; other schemes are named where they differ: +matched are drawn at the "
    "trained scale, permuted only explains. A dash: the trained value is not clearly above 0, so there is no share. "
    "Read raw beside centred: an offset that all tokens share makes raw likeness, another thing than likeness of a "
    "sequence.",
    "",
)


METHODS = (
    "Weights are drawn anew in place, every parameter and trained buffer, each scheme with several draws, and "
    "read on the examples that the trained ones are read on; run.json lists the tensors that changed, and "
    "those that did not. The difference of a third of depth is the inter-token cosine of the drawn weights "
    "(mean over draws) less that of the trained ones, paired by unit; the share is the one over the other, "
    "where the trained one is clearly above 0. Intervals take in units and draws (Student's t), the trained "
    "weights counting as one more draw; trainings taken together err by their own spread. Schemes ending in "
    "+matched have the matrices of each block scaled until its update is as large, beside the stream, as the "
    "trained one's. Verdicts are corrected by Holm's method among all of one scheme, variant and token policy."
    " The numbers lie beside this file in shares.parquet, schemes.parquet and, every draw by itself, "
    "layers.parquet; the verdicts in findings.json."
)
"""For the end of the page, as HTML."""
