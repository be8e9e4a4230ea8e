"""A lab's run directory with planted numbers: two architectures, a loss, three seeds, one cell lost."""

from pathlib import Path

import numpy as np

from repflow.core import LayerRow, PathRow
from repflow.store import RunWriter
from repflow.studies.lab.cells import Cell, Grid
from repflow.studies.lab.rows import CellRow
from repflow.training.lab.run import finish, kept_of

GRID = {
    "question": "Does attention answer?",
    "tokens": 10_000,
    "visits": 2,
    "seeds": [0, 1, 2],
    "architectures": {"ssm": {"family": "mamba2", "depth": 3}, "attention": {"family": "llama", "depth": 3}},
    "losses": {"none": {}, "apart": {"kind": "fixed", "weight": 0.1}},
}
ANSWERS = {"ssm": 10, "attention": 380}
"""Of 400, before a seed's own part."""
LOST = "ssm+apart:2"


def grid() -> Grid:
    return Grid.of("planted", GRID)


def cell_rows(cell: Cell) -> list[CellRow]:
    about = (cell.name, cell.architecture_name, cell.loss_name, cell.seed)
    right = ANSWERS[cell.architecture_name] + 4 * cell.seed
    rows: list[CellRow] = []
    for step, share in ((0, 0.0), (50, 1.0)):
        for task, context in (("pairs", 64), ("kvpr", 256), ("kvpr", 512)):
            rows.append(CellRow(*about, step, task, context, round(share * right), 400, 5.0))
        rows.append(CellRow(*about, step, "text", 256, None, None, 8.0 - 2 * share + 0.1 * cell.seed))
    return rows


def layer_rows(cell: Cell) -> list[LayerRow]:
    alike = {"none": 0.6, "apart": 0.2}[cell.loss_name] + 0.01 * cell.seed
    return [
        LayerRow(
            cell.name, cell.architecture.family, "trained", "text", 256, f"block.{block}", block + 1, (block + 1) / 3,
            "inter_token_cosine", variant, tokens, alike * (block + 1) / 3 * (step > 0), 0.0, 1.0, 24, 6000, step, 24,
        )
        for step in (0, 50)
        for variant in ("raw", "centred")
        for tokens in ("no_sink", "all")
        for block in range(3)
    ]  # fmt: skip


def path_rows(cell: Cell) -> list[PathRow]:
    return [
        PathRow(cell.name, "text", 256, metric, "rms", tokens, 0.1 + 0.01 * cell.seed, 0.0, 1.0, 24, step, 24)
        for step in (0, 50)
        for metric in ("v_loc", "v_glob")
        for tokens in ("no_sink", "all")
    ]


def part(cell: Cell) -> tuple[dict[str, np.ndarray], dict]:
    from dataclasses import astuple

    if cell.name == LOST:
        return {}, {"lost": "Diverged: the loss is not finite", "told": "", "seconds": 1.0}
    kind = "SSM" if cell.architecture.family == "mamba2" else "TBM"
    facts = {"label": cell.name, "family": cell.architecture.family, "kind": kind, "init": "trained", "n_blocks": 3,
             "width": 64, "n_parameters": 1000, "weights_sha256": "0" * 64}  # fmt: skip
    return {}, {
        "facts": facts,
        "training": {"steps": 50},
        "told": "",
        "cells": [astuple(row) for row in cell_rows(cell)],
        "layers": [astuple(row) for row in layer_rows(cell)],
        "paths": [astuple(row) for row in path_rows(cell)],
        "tasks": [{"name": "text", "context": 256, "subject": cell.name, "n_examples": 24, "n_tokens": 6000,
                   "examples_sha256": "a" * 64}],
        "warnings": [],
        "seconds": 1.0,
    }  # fmt: skip


def write_lab_run(folder: Path) -> Path:
    mine = grid()
    with RunWriter.create(folder, kept_of(mine, "d" * 64), "lab") as writer:
        finish(writer, mine, {cell: part(cell) for cell in mine.cells}, 1.0)
    return folder
