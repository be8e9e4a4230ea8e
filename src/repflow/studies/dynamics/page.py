"""Panels of a dynamics run: influence by distance, half-lives by block, memory beside its bound, the main numbers."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from repflow.core.quantities import Quantity
from repflow.drawing.labels import estimate
from repflow.drawing.panel import Cell, Panel, Section, View
from repflow.drawing.source import Scene, Source, Subject, in_scene, values, where
from repflow.drawing.table import frame_uri
from repflow.studies.dynamics.figures import half_life_figure, influence_curves, memory_figure
from repflow.studies.dynamics.frames import Dynamics
from repflow.studies.dynamics.table import dynamics_table


def sections(source: Source) -> list[Section]:
    """The section on dynamics, with its tables to take away; none for a run without them."""
    found: Dynamics | None = source.parts.get("dynamics")
    if found is None:
        return []
    frames = {"influence": found.influence, "transitions": found.transitions, "bounds": found.bounds}
    files = [
        (f"{name}.csv", f"{name.capitalize()} as CSV", frame_uri(frame)) for name, frame in frames.items() if len(frame)
    ]
    title = "Dynamics: how far back a model remembers"
    about = "influence by distance, bounds, half-lives, memory"
    return [Section("dynamics", title, "Dynamics", dynamics_panels(source), files, about=about)]


def dynamics_panels(source: Source) -> list[Panel]:
    """Every panel of a run's dynamics that has rows, in reading order; empty for a run without them."""
    if "dynamics" not in source.parts:
        return []
    makers = (_influence, _table, _half_lives, _memory)
    return [panel for make in makers if (panel := make(source, source.parts["dynamics"])).views]


def _named(dynamics: Dynamics, scene: Scene, choice: str) -> str:
    """A view's choice; the task stands before it where there are several."""
    return choice if len(dynamics.scenes) == 1 else f"{scene.title}, {choice}"


def _influence(source: Source, dynamics: Dynamics) -> Panel:
    views = tuple(
        View(
            "all",
            _named(dynamics, scene, "share" if share else "norm"),
            (influence_curves(rows, source.subjects, share),),
            said=influence_said(in_scene(dynamics.recency, scene), source.subjects),
            scene=scene,
            own="share" if share else "norm",
        )
        for scene in dynamics.scenes
        if len(rows := in_scene(dynamics.influence, scene))
        for share in (False, True)
    )
    return Panel("influence", _INFLUENCE.title, _INFLUENCE, views, keys=True)


def influence_said(recency: pd.DataFrame, subjects: tuple[Subject, ...]) -> str:
    """The slopes in words."""
    shorts = {s.label: s.short for s in subjects}
    told: list[str] = []
    for label, slope, low, high in values(recency, "subject", "slope", "ci_low", "ci_high"):
        if not math.isfinite(slope):
            continue
        value, limits = estimate(slope, low, high)
        told.append(" ".join(part for part in (shorts.get(label, label), value, limits) if part))
    return f"Recency slope from distance 1 on: {'; '.join(told)}." if told else ""


def _table(source: Source, dynamics: Dynamics) -> Panel:
    views = tuple(
        View(
            policy,
            _named(dynamics, scene, policy),
            table=dynamics_table(dynamics, scene, policy, source.subjects),
            scene=scene,
            own="",
        )
        for scene in dynamics.scenes
        for policy in dynamics.policies
    )
    return Panel("dynamics_table", _NUMBERS.title, _NUMBERS, views, layout="table")


def _half_lives(source: Source, dynamics: Dynamics) -> Panel:
    drawn = _with_blocks(source, dynamics)
    views = tuple(_half_life_view(dynamics, scene, drawn) for scene in dynamics.scenes if drawn)
    return Panel("half_lives", _HALF_LIVES.title, _HALF_LIVES, views, _cells(drawn), "grid")


def _half_life_view(dynamics: Dynamics, scene: Scene, drawn: list[Subject]) -> View:
    rows = in_scene(dynamics.transitions, scene, quantity="half_life")
    found = rows.loc[rows["statistic"].isin(["q05", "q95"]), "value"].to_numpy(dtype=float)
    found = found[np.isfinite(found) & (found > 0)]
    top = 10.0 ** math.ceil(math.log10(max([2.0 * scene.context, *found])))
    low = min([0.1, *found]) / 1.2
    figures = tuple(
        half_life_figure(mine, s, scene.context, top, low) if len(mine := where(rows, subject=s.label)) else None
        for s in drawn
    )
    choice = _named(dynamics, scene, "half-lives") if len(dynamics.scenes) > 1 else ""
    return View("all", choice, figures, scene=scene, own="")


def _memory(source: Source, dynamics: Dynamics) -> Panel:
    drawn = _with_blocks(source, dynamics)
    return Panel("memory", _MEMORY.title, _MEMORY, tuple(_memory_views(dynamics, drawn)), _cells(drawn), "grid")


def _memory_views(dynamics: Dynamics, drawn: list[Subject]) -> Iterator[View]:
    for scene in dynamics.scenes if drawn else []:
        for name, choice in (("memory_mean", "mean over units"), ("memory", "largest")):
            rows = in_scene(dynamics.bounds, scene, name=name)
            figures = tuple(memory_figure(mine) if len(mine := where(rows, subject=s.label)) else None for s in drawn)
            if any(figures):
                yield View("all", _named(dynamics, scene, choice), figures, scene=scene, own=choice)


def _with_blocks(source: Source, dynamics: Dynamics) -> list[Subject]:
    """The subjects whose transitions were read."""
    seen = set(dynamics.transitions["subject"])
    return [s for s in source.subjects if s.label in seen]


def _cells(drawn: list[Subject]) -> tuple[Cell, ...]:
    return tuple(Cell(s.short, s.label) for s in drawn)


_INFLUENCE = Quantity(
    "",
    "Influence against distance",
    "",
    "How much a token's state after the last block depends on the embedding k tokens before it: the norm of the "
    "Jacobian, from vector-Jacobian products at sampled tokens.",
    "A straight line is a power law; its slope is the recency slope, -1 where twice the distance halves the influence. "
    "Norms go with a model's own scale: compare shapes, or shares of the squared norm, whose bins double in width.",
    "",
)
_NUMBERS = Quantity(
    "",
    "Bounds and what is used of them",
    "",
    "Half-lives and contraction of the state-space blocks, and how much of what its largest step (envelope) and its "
    "local variance (Poincaré) allow a token's path through depth really uses.",
    "A use of 1 is the bound attained: a straight line of equal steps for the envelope. Small below a use: the highest "
    "of any path. The state's contraction is not the block's: skip, gate, convolution and residual stream go round it.",
    "",
)
_HALF_LIVES = Quantity(
    "",
    "Half-lives by block",
    "",
    "Tokens until half of what is in a state is left, over tokens, channels and states of each state-space block.",
    "Circle: median; thick: the middle half; thin: the middle 90%. Dashed: the context that was read. Blocks without a "
    "state-space mixer have none.",
    "",
)
_MEMORY = Quantity(
    "",
    "Memory of the state beside its bound",
    "",
    "What is left in the state of what entered so many tokens ago: measured (solid), and the bound from the slowest "
    "transition read, to the power of the tokens (dotted).",
    "Dark: the first blocks, yellow: the last. Mean over units: each channel or head by its own bound; largest: the "
    "largest product of any window by rho, the largest transition anywhere. Means are of windows from 16 tokens on.",
    "",
)


METHODS = (
    "Transitions are the factors exp(dt A) by which a state-space mixer's states shrink from token to token, "
    "read by hooks and recomputed in float32; a half-life is log(1/2) over their logarithm. With rho the "
    "largest of them, at most rho to the power k of an input is left after k tokens, and no state is larger "
    "than the largest input over 1 - rho; rho is the largest over the data that was read. Influence is "
    "estimated by random signs, whose products with the Jacobian have its squared Frobenius norm for their "
    "mean square. The envelope: if no step is longer than delta, n points of a path scatter by at most delta "
    "squared times n(n&sup2; - 1)/12. Intervals are 95%, from a Poisson bootstrap over resampling units; "
    "extremes have none. The numbers lie beside this file in transitions.parquet, influence.parquet, "
    "recency.parquet and bounds.parquet."
)
"""For the end of the page, as HTML."""
