"""Panels of an ablation run: the grid, the sweep over windows, one block at a time."""

from collections.abc import Iterator

import pandas as pd

from repflow.core.quantities import Quantity
from repflow.drawing.panel import Cell, Panel, Section, View
from repflow.drawing.plotly import Figure
from repflow.drawing.source import POLICIES, Scene, Source
from repflow.drawing.table import frame_uri
from repflow.studies.ablate.figures import block_curves, blocks_of, window_curves, windows_of
from repflow.studies.ablate.frames import SCORES, Column, grids, policies_of, scenes_of
from repflow.studies.ablate.table import grid, grid_said


def sections(source: Source) -> list[Section]:
    """The section on changes, with its table to take away; none for a run without them."""
    if "ablate" not in source.parts:
        return []
    csv = ("ablations.csv", "Table as CSV, with every column", frame_uri(source.parts["ablate"]))
    title = "Changes: what the model does without a part"
    return [Section("changes", title, "Changes", ablation_panels(source), [csv], about=_ABOUT)]


def ablation_panels(source: Source) -> list[Panel]:
    """Every panel of a run's changes that has rows, in reading order; empty for a run without changes."""
    if "ablate" not in source.parts:
        return []
    makers = (_grid, _windows, _blocks)
    return [panel for make in makers if (panel := make(source, source.parts["ablate"])).views]


def _readings(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame, Scene]]:
    """Scene in words, policy, rows and scene of each reading: the flow numbers of the policy, and the scores."""
    scenes = scenes_of(rows)
    for task, context in scenes:
        here = rows[(rows["task"] == task) & (rows["context"] == context)]
        for tokens in policies_of(here, POLICIES):
            kept = here[(here["tokens"] == tokens) | here["metric"].isin(SCORES)]
            yield f"{task}, {context:,} tokens" if len(scenes) > 1 else "", tokens, kept, Scene(task, context)


def _grid(source: Source, rows: pd.DataFrame) -> Panel:
    shorts = {s.label: s.short for s in source.subjects}
    views = tuple(
        View(
            tokens,
            ", ".join(filter(None, (scene, name))),
            table=grid(here, columns, source.subjects),
            said=grid_said(here, columns, shorts),
            scene=at,
            own=name,
        )
        for scene, tokens, here, at in _readings(rows)
        for name, columns in grids(here).items()
    )
    return Panel("ablation_grid", _GRID.title, _GRID, views, layout="table")


def _windows(source: Source, rows: pd.DataFrame) -> Panel:
    swept = windows_of(rows)
    columns = _headline(swept)
    views = tuple(
        View(tokens, scene, tuple(_window(source, _of(here, column), column) for column in columns), scene=at, own="")
        for scene, tokens, here, at in _readings(swept)
    )
    return Panel("ablation_windows", _WINDOWS.title, _WINDOWS, views, tuple(Cell("", c.told) for c in columns), "grid")


def _window(source: Source, rows: pd.DataFrame, column: Column) -> Figure | None:
    return window_curves(rows, column, source.subjects) if len(rows) else None


def _blocks(source: Source, rows: pd.DataFrame) -> Panel:
    swept = blocks_of(rows)
    subjects = [s for s in source.subjects if s.label in set(swept["subject"])]
    views = tuple(
        View(
            tokens,
            ", ".join(filter(None, (scene, column.told))),
            tuple(
                block_curves(mine, column) if len(mine := _of(here, column, subject=s.label)) else None
                for s in subjects
            ),
            scene=at,
            own=column.told,
        )
        for scene, tokens, here, at in _readings(swept)
        for column in _headline(here)
    )
    return Panel(
        "ablation_blocks", _BLOCKS.title, _BLOCKS, views, tuple(Cell(s.short, s.label) for s in subjects), "grid"
    )


def _headline(rows: pd.DataFrame) -> list[Column]:
    """The scores, and the likeness of tokens in the late third."""
    wanted = [Column("next_token_loss", "nats", "all"), Column("answer_accuracy", "greedy", "all")]
    wanted.append(Column("inter_token_cosine", "raw", "late"))
    return [column for column in wanted if len(_of(rows, column))]


def _of(rows: pd.DataFrame, column: Column, **wanted: str) -> pd.DataFrame:
    given = {"metric": column.metric, "variant": column.variant, "scope": column.scope, **wanted}
    for name, value in given.items():
        rows = rows[rows[name] == value]
    return rows


_ABOUT = "every change by what it does, attention windows, block by block"
_GRID = Quantity(
    "",
    "What each change does",
    "",
    "Every line is one change, made in the loaded model and undone; every number is after minus before, with its 95% "
    "interval below, paired example by example. Likenesses and scores are told as they are, sizes in percent.",
    "Orange is more, blue less, deeper for more of it; grey means that the interval takes in 0, so these examples do "
    "not show a difference. Point at a cell for the numbers before and after. Early, middle and late are the thirds of "
    "depth; the final norm stands apart.",
    "",
)
_WINDOWS = Quantity(
    "",
    "How far attention has to see",
    "",
    "What holding attention to a window of the last tokens does, the token itself among them.",
    "Bands and bars are 95% intervals. Where one takes in 0, these examples do not show that tokens further back "
    "matter to the number.",
    "",
)
_BLOCKS = Quantity(
    "",
    "One block at a time",
    "",
    "What each change does when it is made in one block only, by block, from the first to the last.",
    "Bands and bars are 95% intervals; where one takes in 0, these examples do not show that the block needs the part. "
    "Lines join blocks next to each other; one whose neighbours were not changed stands alone.",
    "",
)


METHODS = (
    "A change exchanges a part of the loaded model and is undone to the last bit before the next one. The "
    "next-token loss is the mean over examples of an example's mean nats a predicted token, on the examples "
    "that the flow is measured on; answers are greedy. The intervals of differences are paired: before and "
    "after weigh the same examples alike. The numbers lie beside this file in ablations.parquet, and those of "
    "every changed model by site in layers.parquet."
)
"""For the end of the page, as HTML."""
