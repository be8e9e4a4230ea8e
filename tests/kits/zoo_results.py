"""The tables of docs/results.md, made from the shipped runs: `python tests/kits/zoo_results.py` prints them."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from repflow.store import open_run

RUNS = Path(__file__).parents[2] / "studies" / "zoo"
PAGE = (RUNS.parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
PROSE = "\n".join(line for line in PAGE.splitlines() if not line.startswith("|"))
TRANSFORMERS = ("pythia-tiny", "llama-tiny")
OTHERS = ("mamba2-tiny", "hybrid-tiny")
RETRIEVE = (*TRANSFORMERS, *OTHERS)
THIRDS = {"early": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "late": (2 / 3, 1.0)}


def trainings(name: str) -> list[str]:
    """The subjects that are trainings of one model of the zoo, by seed."""
    return [f"zoo:{name}", *(f"seed{seed}/{name}/model" for seed in (1, 2))]


def over_trainings(
    values: list[float], scale: float = 1, decimals: int = 2, most: float = math.inf, least: float = -math.inf
) -> str:
    """Mean and 95% interval over trainings, by Student's t, cut at `least` and `most`."""
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return told([max(least, min(x, most)) * scale for x in (mean, mean - half, mean + half)], decimals)


def by_logarithms(values: list[float], scale: float = 1, decimals: int = 2) -> str:
    """Geometric mean and 95% interval over trainings, of what is positive and spans orders of magnitude."""
    logs = np.log(values)
    half = float(stats.t.ppf(0.975, len(logs) - 1) * np.std(logs, ddof=1) / math.sqrt(len(logs)))
    return told([math.exp(x) * scale for x in (logs.mean(), logs.mean() - half, logs.mean() + half)], decimals)


def told(estimate: list[float], decimals: int) -> str:
    value, low, high = (number(x, decimals) for x in estimate)
    return f"{value} [{low}, {high}]"


def number(value: float, decimals: int, sign: str = "") -> str:
    """A number as the page has it, without a minus before nothing."""
    return f"{round(value, decimals) + 0.0:{sign},.{decimals}f}"


def third(subject: str, part: str, variant: str) -> float:
    """Mean inter-token cosine of a third of the blocks."""
    layers = open_run(RUNS / "flow").layers
    low, high = THIRDS[part]
    rows = layers[
        (layers["subject"] == subject)
        & (layers["metric"] == "inter_token_cosine")
        & (layers["variant"] == variant)
        & (layers["tokens"] == "no_sink")
        & layers["site"].str.startswith("block.")
        & (layers["depth"] > low + 1e-9)
        & (layers["depth"] <= high + 1e-9)
    ]
    return float(rows["value"].mean())


def summary(subject: str, place: str) -> pd.Series:
    rows = open_run(RUNS / "probe").table("probe_summary")
    return rows[(rows["subject"] == subject) & (rows["position"] == place)].iloc[0]


def flow_table() -> list[str]:
    columns = [(part, variant) for variant in ("raw", "centred") for part in THIRDS]
    lines = [
        "| model | trainings | " + " | ".join(f"{part}, {variant}" for part, variant in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name in RETRIEVE:
        cells = [over_trainings([third(s, *column) for s in trainings(name)]) for column in columns]
        lines.append("| " + " | ".join([name, "3", *cells]) + " |")
    for name in ("mamba-tiny", "gpt-neo-tiny"):
        cells = [f"{third(f'zoo:{name}', *column):.2f}" for column in columns]
        lines.append("| " + " | ".join([f"{name} (does not retrieve)", "1", *cells]) + " |")
    return lines


def probe_table() -> list[str]:
    def each(name: str, value: Callable[[str], float]) -> str:
        return over_trainings([value(s) for s in trainings(name)], 100, 0, 1.0)

    titles = (
        "answered (%)",
        "last token, highest of any site (%)",
        "end of the gold, peak (%)",
        "end of the gold, last block (%)",
    )
    lines = [
        f"| model | trainings | {' | '.join(titles)} |",
        "|---|---|---|---|---|---|",
    ]
    for name in RETRIEVE:
        cells = [
            each(name, lambda s: summary(s, "last")["answered"]),
            each(name, lambda s: summary(s, "last")["highest"]),
            each(name, lambda s: summary(s, "gold")["peak"]),
            each(name, lambda s: summary(s, "gold")["last"]),
        ]
        lines.append("| " + " | ".join([name, "3", *cells]) + " |")
    return lines


if __name__ == "__main__":
    print(*flow_table(), *probe_table(), sep="\n")
