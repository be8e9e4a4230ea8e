"""What a grid costs, told before its first cell: a few steps of every kind of model, and one look at it."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from repflow.core import local_path
from repflow.engines import Progress
from repflow.models.quiet import quiet
from repflow.studies.lab.cells import Cell, Grid
from repflow.studies.lab.grids import grid_of
from repflow.studies.lab.settings import LabSettings
from repflow.training.lab.cell import Visiting
from repflow.training.lab.learn import learn
from repflow.training.lab.models import first_model
from repflow.training.lab.rows import ASKED, Material, material
from repflow.training.zoo.curriculum import Span, Stage
from repflow.training.zoo.run import on_cpu

_STEPS = 3


def told_plan(settings: LabSettings, progress: Progress) -> str:
    """The cells of a grid, a line an architecture and loss, and what they will take together."""
    grid = grid_of(settings.grid)
    device = torch.device("cpu" if on_cpu(settings.place.device) else "cuda")
    known = material(local_path(settings.place.data))
    kinds = list({(c.architecture_name, c.loss_name): c for c in grid.cells}.values())
    progress.begin("trying", len(kinds), "model")
    costs: dict[tuple[str, str], float] = {}
    parameters: dict[tuple[str, str], int] = {}
    for cell in kinds:
        with quiet():
            key = cell.architecture_name, cell.loss_name
            costs[key], parameters[key] = _seconds(cell, grid, known, device)
        progress.advance(1, 0)
    return "\n".join(_lines(grid, kinds, costs, parameters, settings.place.workers))


def _seconds(cell: Cell, grid: Grid, known: Material, device: torch.device) -> tuple[float, int]:
    """Of one cell: its training, judged by steps of the last stage, and its visits, judged by one."""
    model = first_model(cell.architecture, cell.seed).to(device)
    visiting = Visiting(cell, model, known.tokenizer, {a: known.fresh(a, cell.seed) for a in ASKED})
    begun = time.perf_counter()
    model.eval()
    visiting.visit(0)
    visits = (time.perf_counter() - begun) * (grid.visits if cell.trained else 1)
    parameters = sum(p.numel() for p in model.parameters())
    if not cell.trained:
        return visits, parameters
    last = known.plan(grid.tokens)[-1]
    batches = known.of([Span(0, _STEPS, last.stage)], cell.seed)
    # The first compiles.
    step = min(_timed(model, cell, batches[number], last.stage) for number in range(_STEPS))
    return visits + step * grid.tokens / last.stage.batch_tokens, parameters


def _timed(model: Any, cell: Cell, batch: dict[str, Tensor], stage: Stage) -> float:
    begun = time.perf_counter()
    learn(model, cell, [batch], [Span(0, 1, stage)], lambda _: None, frozenset())
    return time.perf_counter() - begun


def _lines(
    grid: Grid,
    kinds: list[Cell],
    costs: Mapping[tuple[str, str], float],
    parameters: Mapping[tuple[str, str], int],
    workers: int,
) -> list[str]:
    found = [grid.question] if grid.question else []
    found.append(f"{len(grid.cells)} cells, {grid.tokens:,} tokens each where they are trained")
    total = 0.0
    for cell in kinds:
        key = cell.architecture_name, cell.loss_name
        mine = [c.name for c in grid.cells if (c.architecture_name, c.loss_name) == key]
        total += costs[key] * len(mine)
        found.append(f"  {', '.join(mine)}: {parameters[key]:,} parameters, {costs[key] / 60:.1f} min each")
    spread = f", {total / workers / 60:.0f} min with {workers} workers if as many cores are free" if workers > 1 else ""
    found.append(f"{total / 60:.0f} min in all{spread}; judged by the longest rows on the machine as it is now")
    return found
