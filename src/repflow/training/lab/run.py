"""lab: the cells of a grid, one after the other or several at once, into one run directory."""

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repflow.core import BadSetting, LayerRow, PathRow, local_path, unknown, values_of
from repflow.engines import Progress
from repflow.models import environment_facts
from repflow.store import Run, RunWriter
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.session import written
from repflow.studies.lab.cells import Cell, Grid
from repflow.studies.lab.findings import findings_of
from repflow.studies.lab.grids import grid_of
from repflow.studies.lab.outcomes import contrasts_of, groups_of, outcomes_of, slopes_of
from repflow.studies.lab.rows import CellRow, ContrastRow, FailureRow, GroupRow, OutcomeRow, SlopeRow
from repflow.studies.lab.settings import LAB_FREE, LabSettings
from repflow.training.lab.cell import meta_of, run_cell
from repflow.training.zoo.corpus import read_corpus
from repflow.training.zoo.run import on_cpu

Part = tuple[dict[str, np.ndarray], dict[str, Any]]


def run_lab(settings: LabSettings, progress: Progress | None = None) -> Run | None:
    """Train and measure every cell that is not yet; None where cells of the grid are still to do.

    A cell that fails is kept with its reason and named, the others go on; resumed, an unfinished run tries it again.
    Raises a CallerError for a grid, a folder or
    a device that will not do, before the first cell; Interrupted, what is done stays.
    """
    progress = progress or Silent()
    grid = grid_of(settings.grid)
    out, chosen = settings.output, chosen_cells(grid, settings.place.only)
    for name in ("only", "weights"):
        if getattr(settings.place, name) and out.out is None:
            raise BadSetting(f"--{name} needs --out, where the rest goes, too")
    lab = _Lab(settings, grid, chosen, progress)
    if settings.place.only and out.out is not None:
        with RunWriter.create(out.out, lab.kept, "lab", resume=True, free=LAB_FREE) as writer:
            if not writer.finished and not lab.measure(writer):
                return None
        out = replace(out, resume=True)
    return written("lab", lab.kept, out, progress, lambda writer: _whole(lab, writer), LAB_FREE)


def kept_of(grid: Grid, data_sha256: str) -> dict[str, Any]:
    """What run.json keeps of the settings: a resumed run must be of the same grid and the same texts."""
    return {"grid": grid.name, "cells": dict(grid.given), "tokens": grid.tokens, "data_sha256": data_sha256}


def chosen_cells(grid: Grid, only: Sequence[str]) -> list[Cell]:
    """The cells of the grid that are asked for. Raises UnknownName."""
    named = {cell.name: cell for cell in grid.cells}
    for name in only:
        if name not in named:
            raise unknown("cell", name, named)
    return [cell for cell in grid.cells if not only or cell.name in only]


def _whole(lab: "_Lab", writer: RunWriter) -> None:
    lab.measure(writer)


class _Lab:
    """One call of the command."""

    def __init__(self, settings: LabSettings, grid: Grid, cells: Sequence[Cell], progress: Progress) -> None:
        self._settings, self._grid, self._cells, self._progress = settings, grid, cells, progress
        self._data = local_path(settings.place.data)
        self._device = "cpu" if on_cpu(settings.place.device) else "cuda"
        # What no cell can do without is missed before the first.
        self.kept = kept_of(grid, read_corpus(self._data).sha256)

    def measure(self, writer: RunWriter) -> bool:
        """Whether every cell of the grid is there; the tables are written then."""
        begun = time.perf_counter()
        known = {cell: part for cell in self._cells if (part := writer.read_part(cell.name))}
        left = [cell for cell in self._cells if cell not in known or "lost" in known[cell][1]]
        if known:
            self._progress.note(f"{len(self._cells) - len(left)} of {len(self._cells)} cells are done already")
        again = [cell.name for cell in left if cell in known]
        if again:
            self._progress.note(f"tried again, since they failed before: {', '.join(again)}")
        if left:
            self._progress.begin(f"lab {self._grid.name}", len(left), "cell")
        for cell, (arrays, meta) in self._done(left):
            writer.save_part(cell.name, arrays, meta)
            self._progress.note(meta["told"])
            self._progress.advance(1, 0)
        parts = {cell: writer.read_part(cell.name) for cell in self._grid.cells}
        if any(part is None for part in parts.values()):
            missing = sum(part is None for part in parts.values())
            self._progress.note(f"{missing} cells of the grid are still to do; run it again with --resume")
            return False
        finish(writer, self._grid, {cell: part for cell, part in parts.items() if part}, time.perf_counter() - begun)
        return True

    def _done(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Part]]:
        jobs = [(cell, self._grid, self._data, self._device, self._keep(cell)) for cell in cells]
        if self._settings.place.workers == 1:
            for job in jobs:
                yield job[0], one(*job)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._settings.place.workers, context, _alone) as pool:
            running = {pool.submit(one, *job): job[0] for job in jobs}
            for future in as_completed(running):
                yield running[future], future.result()

    def _keep(self, cell: Cell) -> Path | None:
        out = self._settings.output.out
        if out is None or not self._settings.place.weights or not cell.trained or cell.architecture.norm == "none":
            return None
        out = local_path(out)
        return out.parent / f"{out.name}-models" / cell.name.replace(":", "-")


def _alone() -> None:
    torch.set_num_threads(1)


def one(cell: Cell, grid: Grid, data: Path, device: str, keep: Path | None) -> Part:
    """A cell as a part: its rows, or why there are none."""
    from repflow.models.quiet import quiet

    begun = time.perf_counter()
    said: list[str] = []
    try:
        with quiet():
            done = run_cell(cell, grid, data, torch.device(device), keep, said.append)
    except Exception as error:
        # One cell's failure, whatever it is, must not cost the others.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        told = {"lost": reason, "told": f"{cell.name} failed: {reason}", "seconds": time.perf_counter() - begun}
        return {}, told
    tables = done.record.tables
    meta = meta_of(done) | {
        "told": said[-1],
        "cells": values_of(done.rows, CellRow),
        "layers": values_of(tables.layers, LayerRow),
        "paths": values_of(tables.paths, PathRow),
        "tasks": done.record.settled_tasks(),
        "warnings": done.record.warnings,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    return {}, meta


def finish(writer: RunWriter, grid: Grid, parts: Mapping[Cell, Part], seconds: float) -> None:
    """Write the tables of all cells, and what they say."""
    found = {cell: meta for cell, (_, meta) in parts.items() if "lost" not in meta}
    lost = {cell: meta for cell, (_, meta) in parts.items() if "lost" in meta}
    cells = [CellRow(*row) for meta in found.values() for row in meta["cells"]]
    layers = [LayerRow(*row) for meta in found.values() for row in meta["layers"]]
    paths = [PathRow(*row) for meta in found.values() for row in meta["paths"]]
    outcomes = outcomes_of(list(found), cells, layers, paths)
    groups = groups_of(outcomes)
    contrasts = contrasts_of(outcomes, grid.reference)
    slopes = slopes_of(outcomes, list(found))
    failures = [FailureRow(c.name, c.architecture_name, c.loss_name, c.seed, m["lost"]) for c, m in lost.items()]
    for name, rows, kind in (
        ("cells", cells, CellRow),
        ("outcomes", outcomes, OutcomeRow),
        ("groups", groups, GroupRow),
        ("contrasts", contrasts, ContrastRow),
        ("slopes", slopes, SlopeRow),
        ("failures", failures, FailureRow),
    ):
        writer.write_table(name, rows, kind)
    warnings = [f"{cell.name}: not trained to its end, {meta['lost']}" for cell, meta in lost.items()]
    warnings += dict.fromkeys(line for meta in found.values() for line in meta["warnings"])
    info = {
        "question": grid.question,
        "subjects": _subjects(found),
        "tasks": [task for meta in found.values() for task in meta["tasks"]],
        "versions": environment_facts(),
        "seed": 0,
        "timings": {cell.name: {"cell_s": meta["seconds"]} for cell, meta in found.items()}
        | {"total_s": round(seconds, 1)},
        "warnings": warnings,
    }
    writer.finish(layers, [], paths, info, findings_of(groups, contrasts, slopes))


def _subjects(found: Mapping[Cell, dict[str, Any]]) -> list[dict[str, Any]]:
    """The facts of each cell; of several seeds the later are variants of the first, which the page draws."""
    first: dict[tuple[str, str], str] = {}
    subjects: list[dict[str, Any]] = []
    for cell, meta in found.items():
        of = first.setdefault((cell.architecture_name, cell.loss_name), cell.name)
        facts = meta["facts"] | {"cell": cell_facts(cell), "training": meta["training"]}
        subjects.append(facts if of == cell.name else facts | {"variant_of": of})
    return subjects


def cell_facts(cell: Cell) -> dict[str, Any]:
    """What tells one cell from another."""
    a = cell.architecture
    return {
        "architecture": cell.architecture_name,
        "loss": cell.loss_name,
        "seed": cell.seed,
        "trained": cell.trained,
        "family": a.family,
        "blocks": a.blocks,
        "attention": a.attention,
        "depth": a.depth,
        "width": a.width,
        "state": a.state,
        "norm": a.norm,
        "rate": a.rate,
    }
