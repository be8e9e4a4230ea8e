"""A step's rows in a few numbers, for a training's own loggers."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from repflow.core import LayerRow, Site
from repflow.studies.kit.record import Tables, table_of
from repflow.studies.kit.thirds import thirds


def scalars(tables: Tables, sites: Sequence[Site], policies: Sequence[str]) -> dict[str, float]:
    """`flow/inter_token_cosine_early`, `_middle`, `_late` (means over a third of the blocks), `flow/v_loc_rms` and
    `flow/adjacent_cka` (mean over neighbouring sites, the final norm left out), as far as they were measured.

    They count `no_sink` tokens where that policy was measured, else those of the first one. With several tasks or
    contexts the names begin `flow/TASK-CONTEXT/`. Numbers that are not finite are left out.
    """
    tokens = "no_sink" if "no_sink" in policies else policies[0]
    cells = dict.fromkeys((row.task, row.context) for row in (*tables.layers, *tables.paths, *tables.pairs))
    found: dict[str, float] = {}
    for task, context in cells:
        prefix = "flow/" if len(cells) == 1 else f"flow/{task}-{context}/"
        named = _numbers(tables, sites, (task, context, tokens))
        found |= {prefix + name: value for name, value in named if math.isfinite(value)}
    return found


def _numbers(tables: Tables, sites: Sequence[Site], cell: tuple[str, int, str]) -> Iterator[tuple[str, float]]:
    yield from _thirds(tables, cell)
    for row in tables.paths:
        if (row.task, row.context, row.tokens) == cell and (row.metric, row.variant) == ("v_loc", "rms"):
            yield "v_loc_rms", row.value
    steps = set(pairwise(site.name for site in sites if not site.is_final_norm))
    likeness = [
        row.value
        for row in tables.pairs
        if (row.task, row.context, row.tokens) == cell
        and (row.metric, row.variant) == ("cka", "token")
        and (row.site_a, row.site_b) in steps
    ]
    if likeness:
        yield "adjacent_cka", sum(likeness) / len(likeness)


def _thirds(tables: Tables, cell: tuple[str, int, str]) -> Iterator[tuple[str, float]]:
    rows = [
        row
        for row in tables.layers
        if (row.task, row.context, row.tokens) == cell and (row.metric, row.variant) == ("inter_token_cosine", "raw")
    ]
    if rows:
        frame = thirds(table_of(rows, LayerRow), {}).frame
        yield from (
            (f"inter_token_cosine_{third}", float(v)) for third, v in zip(frame["third"], frame["value"], strict=True)
        )
