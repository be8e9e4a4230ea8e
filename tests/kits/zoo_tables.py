"""More tables of docs/results.md, from the shipped runs: `python tests/kits/zoo_tables.py` prints them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats
from zoo_results import OTHERS, RETRIEVE, RUNS, by_logarithms, number, over_trainings, trainings

from repflow.store import Run, open_run

ALONE = ("mamba-tiny", "gpt-neo-tiny")
"""Those that do not retrieve: one training each."""
WITH_STATES = OTHERS
DRAWN = ("normal", "xavier", "kaiming", "orthogonal")
LAG = 64
"""Tokens after which memory is told."""


@cache
def run_of(name: str) -> Run:
    return open_run(RUNS / name)


@cache
def frame(name: str, table: str) -> pd.DataFrame:
    """A table of a run, read once."""
    run = run_of(name)
    return getattr(run, table) if table in ("layers", "paths") else run.table(table)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *(f"| {' | '.join(row)} |" for row in rows)]


@dataclass(frozen=True)
class Column:
    """A quantity of a subject, and how it is told."""

    title: str
    value: Callable[[str], float]
    decimals: int = 2
    scale: float = 1
    least: float = -math.inf
    most: float = math.inf
    logarithms: bool = False

    def told(self, name: str) -> str:
        """Of a model: its mean and interval over trainings, or the one number of a single training."""
        if name in ALONE:
            return number(self.value(f"zoo:{name}") * self.scale, self.decimals)
        values = [self.value(subject) for subject in trainings(name)]
        if self.logarithms:
            return by_logarithms(values, self.scale, self.decimals)
        return over_trainings(values, self.scale, self.decimals, self.most, self.least)


def percent(title: str, value: Callable[[str], float], decimals: int = 0) -> Column:
    return Column(title, value, decimals, 100, 0.0, 1.0)


def by_model(columns: Sequence[Column], names: Sequence[str]) -> list[str]:
    """A line a model."""
    rows: list[list[str]] = []
    for name in names:
        about = [name + " (does not retrieve)" * (name in ALONE), "1" if name in ALONE else "3"]
        rows.append([*about, *(column.told(name) for column in columns)])
    return table(["model", "trainings", *(column.title for column in columns)], rows)


def adjacent(subject: str, blocks: Sequence[int]) -> float:
    """Mean cosine of a token's states before and after each of the blocks."""
    rows = frame("paths", "layers")
    rows = rows[(rows["subject"] == subject) & (rows["metric"] == "adjacent_cosine") & (rows["variant"] == "raw")]
    return float(rows.set_index("site")["value"][[f"block.{block}" for block in blocks]].mean())


EARLY, MIDDLE, LATE, LAST = (1, 2, 3), (4, 5, 6, 7), (8, 9, 10), (11,)
"""Blocks 0 and 11, where steps are of another kind, stand apart."""


def adjacent_table() -> list[str]:
    def over(title: str, blocks: Sequence[int]) -> Column:
        return Column(title, lambda subject: adjacent(subject, blocks), least=-1.0, most=1.0)

    columns = [
        over("block 0", (0,)),
        over("blocks 1 to 3", EARLY),
        over("blocks 4 to 7", MIDDLE),
        over("blocks 8 to 10", LATE),
        over("block 11", LAST),
        Column("middle less early", lambda subject: adjacent(subject, MIDDLE) - adjacent(subject, EARLY)),
        Column("middle less block 11", lambda subject: adjacent(subject, MIDDLE) - adjacent(subject, LAST)),
    ]
    return by_model(columns, (*RETRIEVE, *ALONE))


def path(subject: str, metric: str, variant: str) -> float:
    rows = frame("paths", "paths")
    rows = rows[(rows["subject"] == subject) & (rows["metric"] == metric) & (rows["variant"] == variant)]
    return float(rows["value"].item())


def used(subject: str, bound: str) -> float:
    """How much of a bound on paths is used, mean over paths."""
    rows = frame("dynamics", "bounds")
    return float(rows[(rows["subject"] == subject) & (rows["name"] == bound)]["use"].item())


def path_table() -> list[str]:
    columns = [
        Column("path energy, rms", lambda s: path(s, "path_energy", "rms")),
        Column("path energy, unit", lambda s: path(s, "path_energy", "unit")),
        Column("path energy, raw", lambda s: path(s, "path_energy", "raw"), 0, logarithms=True),
        Column("v_glob, rms", lambda s: path(s, "v_glob", "rms")),
        Column("v_glob, unit", lambda s: path(s, "v_glob", "unit")),
        percent("envelope used (%)", lambda s: used(s, "envelope"), 1),
        percent("Poincaré used (%)", lambda s: used(s, "poincare"), 1),
    ]
    return by_model(columns, (*RETRIEVE, *ALONE))


def blocks_of(subject: str, bound: str, column: str) -> pd.Series:
    """A column of a bound on states, block by block."""
    rows = frame("dynamics", "bounds")
    rows = rows[(rows["subject"] == subject) & (rows["name"] == bound) & (rows["lag"].isna() | (rows["lag"] == LAG))]
    return rows[column]


def half_life(subject: str) -> float:
    """In tokens: the median state of the median block."""
    rows = frame("dynamics", "transitions")
    rows = rows[(rows["subject"] == subject) & (rows["quantity"] == "half_life") & (rows["statistic"] == "q50")]
    return float(rows["value"].median())


def forgetting_table() -> list[str]:
    columns = [
        Column("half-life (tokens)", half_life, 1, logarithms=True),
        percent("rho^64 allows (%)", lambda s: float(blocks_of(s, "memory", "bound").median())),
        percent("left after 64 tokens, mean (%)", lambda s: float(blocks_of(s, "memory_mean", "measured").median())),
        Column("bound on a state / largest", lambda s: float(blocks_of(s, "state_norm", "ratio").median()), 0,
               logarithms=True),
    ]  # fmt: skip
    return by_model(columns, (*WITH_STATES, "mamba-tiny"))


def shares(name: str, variant: str, scheme: str = "config") -> pd.DataFrame:
    """The three trainings of a model together, a line a third."""
    rows = frame(f"attribute/{name}", "shares")
    rows = rows[(rows["subject"] == "all 3 trainings") & (rows["variant"] == variant) & (rows["scheme"] == scheme)]
    return rows.set_index("third")


def other_ways(name: str, third: str) -> tuple[float, float]:
    """The lowest and highest raw likeness of a third over the other ways of drawing."""
    found = [float(shares(name, "raw", scheme)["random"][third]) for scheme in DRAWN]
    return min(found), max(found)


def attribution_table() -> list[str]:
    titles = [
        "model", "third", "trained, raw", "drawn anew, raw", "other ways of drawing", "difference, raw", "verdict, raw",
        "difference, centred", "verdict, centred",
    ]  # fmt: skip
    rows: list[list[str]] = []
    for name in RETRIEVE:
        raw, centred = shares(name, "raw"), shares(name, "centred")
        for third in ("early", "middle", "late"):
            low, high = other_ways(name, third)
            rows.append(
                [
                    name if third == "early" else "",
                    third,
                    f"{raw['trained'][third]:.2f}",
                    f"{raw['random'][third]:.2f}",
                    f"{low:.2f} to {high:.2f}",
                    _difference(raw.loc[third]),
                    str(raw["verdict"][third]),
                    _difference(centred.loc[third]),
                    str(centred["verdict"][third]),
                ]
            )
    return table(titles, rows)


def _difference(row: pd.Series) -> str:
    low, high = (number(row[f"difference_{end}"], 2) for end in ("low", "high"))
    return f"{number(row['difference'], 2, '+')} [{low}, {high}]"


def depth_slope(architecture: str, metric: str, times_sites: bool) -> str:
    """By which power of depth a raw quantity of random models of the lab's grid grows, with its interval."""
    run = open_run(RUNS.parent / "lab" / "scaling")
    cells = {facts["label"]: facts["cell"] for facts in run.subjects}
    rows = run.paths[(run.paths["metric"] == metric) & (run.paths["variant"] == "raw")]
    rows = rows[(rows["tokens"] == "no_sink") & rows["subject"].map(lambda s: _in(cells[s], architecture))]
    depth = rows["subject"].map(lambda s: cells[s]["depth"]).to_numpy(dtype=float)
    value = rows["value"].to_numpy(dtype=float) * (depth + 1 if times_sites else 1)
    found = stats.linregress(np.log(depth), np.log(value))
    half = float(stats.t.ppf(0.975, len(depth) - 2) * found.stderr)
    return f"{found.slope:.2f} [{found.slope - half:.2f}, {found.slope + half:.2f}]"


def _in(cell: dict, architecture: str) -> bool:
    return cell["architecture"].startswith(f"{architecture}-d") and cell["architecture"].endswith("-w64")


def sites_of(subject: str, place: str = "ask", target: str = "value") -> pd.DataFrame:
    """The probes of a subject at one place, a line a site, in order of depth."""
    rows = frame("values", "probes")
    rows = rows[(rows["subject"] == subject) & (rows["position"] == place) & (rows["target"] == target)]
    return rows.sort_values("site_index").set_index("site")


def read(subject: str, place: str = "ask", target: str = "value") -> pd.Series:
    """What the probes of a subject at one place say in all."""
    rows = frame("values", "probe_summary")
    rows = rows[(rows["subject"] == subject) & (rows["position"] == place) & (rows["target"] == target)]
    return rows.iloc[0]


def first_block(subject: str, column: str = "accuracy") -> int | None:
    """The first block after which half of the values are read by the readout, or by the logit lens."""
    rows = sites_of(subject)
    found = rows.index[rows.index.str.startswith("block.") & (rows[column] >= 0.5)]
    return int(found[0].removeprefix("block.")) if len(found) else None


def _first(name: str, column: str) -> str:
    subjects = [f"zoo:{name}"] if name in ALONE else trainings(name)
    found = [first_block(subject, column) for subject in subjects]
    return ", ".join("none" if block is None else str(block) for block in found)


def value_table() -> list[str]:
    """What is read of the value, and of the place, where the answer is asked for."""
    columns = [
        percent("answered (%)", lambda s: read(s)["answered"]),
        percent("value at `last`, highest (%)", lambda s: read(s, "last")["highest"]),
        percent("value at `ask`, highest (%)", lambda s: read(s)["highest"]),
        percent("after the last block (%)", lambda s: read(s)["last"]),
        percent("by the logit lens there (%)", lambda s: sites_of(s)["lens"]["block.11"]),
        percent("place at `ask`, highest (%)", lambda s: read(s, target="position")["highest"]),
    ]
    names = (*RETRIEVE, *ALONE)
    blocks = ["half read from block", "by the lens from block"]
    lines = by_model(columns, names)
    more = [blocks, ["---", "---"], *([_first(name, "accuracy"), _first(name, "lens")] for name in names)]
    return [line + " " + " | ".join(cells) + " |" if k != 1 else line + "---|---|"
            for k, (line, cells) in enumerate(zip(lines, more, strict=True))]  # fmt: skip


if __name__ == "__main__":
    for made in (attribution_table, adjacent_table, path_table, forgetting_table, value_table):
        print(*made(), "", sep="\n")
    for kind in ("attention", "ssm"):
        print(kind, depth_slope(kind, "path_energy", False), depth_slope(kind, "v_glob", True))
