"""A dynamics run made up from formulas and written through the store."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthetic import facts

from repflow.core import Site, sites_for
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow

PYTHIA, MAMBA = "zoo:pythia-tiny", "state-spaces/mamba_130m&co-hf"
TWO = ((PYTHIA, "gpt_neox", "TBM", 6, -0.4), (MAMBA, "mamba", "SSM", 4, -1.1))
SCENES = (("text", 64), ("text", 256))
BINS = ((0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 31))
QUANTILES = (
    ("q01", 1.0),
    ("q05", 2.0),
    ("q25", 5.0),
    ("q50", 10.0),
    ("q75", 40.0),
    ("q95", math.inf),
    ("q99", math.inf),
)


def influence(slope: float, first: int, last: int) -> float:
    return 100 * math.sqrt(first * last) ** slope if first else 300.0


def _influence(about: dict[str, Any], slope: float) -> list[InfluenceRow]:
    squares = [influence(slope, *ends) ** 2 * (ends[1] - ends[0] + 1) for ends in BINS]
    rows = []
    for ends, square in zip(BINS, squares, strict=True):
        value, share = influence(slope, *ends), square / sum(squares)
        limits = (0.9 * value, 1.1 * value, share, 0.9 * share, 1.1 * share)
        rows.append(InfluenceRow(**about, distance=ends[0], distance_to=ends[1], value=value, ci_low=limits[0],
                                 ci_high=limits[1], share=share, share_low=limits[3], share_high=limits[4],
                                 n_examples=30, n_tokens=60))  # fmt: skip
    return rows


def _transitions(about: dict[str, Any], site: Site) -> list[TransitionRow]:
    scale = site.index
    return [
        TransitionRow(
            **about,
            site=site.name,
            site_index=site.index,
            depth=site.depth,
            mixer="mamba",
            quantity="half_life",
            statistic=name,
            value=scale * value,
            ci_low=scale * value * 0.9,
            ci_high=scale * value * 1.1,
            n_examples=30,
        )
        for name, value in QUANTILES
    ]


def _block_bounds(about: dict[str, Any], site: Site) -> list[BoundRow]:
    def row(name: str, lag: int | None, bound: float, measured: float) -> BoundRow:
        ratio = bound / measured
        return BoundRow(**about, site=site.name, depth=site.depth, name=name, lag=lag, tokens="all", bound=bound,
                        measured=measured, ratio=ratio, use=1 / ratio, use_low=math.nan, use_high=math.nan,
                        vacuous=False, n=100)  # fmt: skip

    rho = 1 - 0.01 / site.index
    memory = [
        row(name, lag, rho**lag, power**lag)
        for lag in (1, 2, 4, 8)
        for name, power in (("memory", rho * 0.99), ("memory_mean", 0.8))
    ]
    return [row("rho", None, 1.0, rho), *memory, row("state_norm", None, 50.0, 1.0),
            row("state_norm_by_unit", None, 5.0 * site.index, 1.0)]  # fmt: skip


def _path_bounds(about: dict[str, Any]) -> list[BoundRow]:
    return [
        BoundRow(**about, site="path", depth=math.nan, name=name, lag=None, tokens=tokens, bound=10.0,
                 measured=10 * use, ratio=1.25, use=use, use_low=use - 0.01, use_high=use + 0.01, vacuous=False, n=999)
        for name, use in (("envelope", 0.1), ("poincare", 0.3))
        for tokens in ("all", "no_sink")
    ]  # fmt: skip


def write_dynamics_run(directory: Path, subjects: tuple[Any, ...] = TWO, scenes: tuple[Any, ...] = SCENES) -> Run:
    """A finished run directory."""
    transitions, found, recency, bounds = [], [], [], []
    for label, family, kind, blocks, slope in subjects:
        for task, context in scenes:
            about = {"subject": label, "family": family, "init": "trained", "task": task, "context": context}
            found += _influence(about, slope)
            recency.append(RecencyRow(**about, slope=slope, ci_low=slope - 0.1, ci_high=slope + 0.1, reach=31,
                                      n_examples=30))  # fmt: skip
            bounds += _path_bounds(about)
            for site in sites_for(blocks)[1:-1] if kind == "SSM" else ():
                transitions += _transitions(about, site)
                bounds += _block_bounds(about, site)
    info = {
        "subjects": [
            asdict(facts(label, family, kind, blocks, "trained")) for label, family, kind, blocks, _ in subjects
        ],
        "tasks": [{"name": task, "context": context, "n_examples": 30} for task, context in scenes],
    }
    with RunWriter.create(directory, {"seed": 0}, "dynamics") as writer:
        for name, rows, row in (
            ("transitions", transitions, TransitionRow),
            ("influence", found, InfluenceRow),
            ("recency", recency, RecencyRow),
            ("bounds", bounds, BoundRow),
        ):
            writer.write_table(name, rows, row)
        writer.finish([], [], [], info)
    return Run.load(directory)
