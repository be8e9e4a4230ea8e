"""The paper's claims decided a second time, from the parquet files alone, by other code than the study's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from repflow.core import interval

NEED = {
    ("A1", "adjacent cosine, mean of the middle third of depth"): (">", 0.95),
    ("A1", "adjacent cosine, mean of the middle third less the last layer"): (">", 0.05),
    ("A2", "adjacent cosine, standard deviation over the layers, early third less late third"): (">", 0.0),
    ("B1", "inter-token cosine, mean of the first two thirds of depth"): (">", 0.8),
    ("B1", "inter-token cosine, mean of the first two thirds less the last layer"): (">", 0.1),
    ("B2", "inter-token cosine, mean of the first two thirds of depth"): ("<", 0.7),
    ("B2", "inter-token cosine, mean of the late third less that of the first two"): (">", 0.1),
    ("C1", "inter-token cosine with weights drawn anew, mean of the early third"): (">", 0.8),
    ("C2", "inter-token cosine with weights drawn anew, mean of the late third"): ("<", 0.2),
    ("C2", "share of the trained likeness that drawn weights show, late third, the family's own scheme"): ("<", 0.2),
    ("C3", "inter-token cosine of the early third, changed less as it is"): ("<", -0.05),
    ("D3", "1 less the largest transition of any block, token and channel (rho)"): (">", 1e-6),
    ("E1", "accuracy at the best site less the last block"): (">", 0.02),
    ("F1", "inter-token cosine, highest of the early third"): (">", 0.8),
    ("F1", "inter-token cosine, mean of the last quarter of depth"): (">", 0.7),
    ("F1", "accuracy at the best site less the last block"): (">", 0.15),
}
"""What each statistic must be, written down again."""
PLACES = {"TBM": (10 / 32, 10 / 32), "SSM": (4 / 64, 14 / 64)}
BELOW = {"v_loc (rms)": "v_loc", "v_glob (rms)": "v_glob", "path energy (rms)": "path_energy"}


Row = dict[str, Any]


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows as dicts by column."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


class Part:
    """The files of a run inside the run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        replicates = directory / "replicates.safetensors"
        self.replicates = load_file(replicates) if replicates.is_file() else {}
        self.info = json.loads((directory / "run.json").read_text())

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.directory / f"{name}.parquet")

    def curve(
        self, subject: str, metric: str, variant: str, tokens: str, *, hf: bool
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Depths [layers], values with replicates [layers, 1 + B], units."""
        rows = self.table("layers").reset_index(drop=True)
        wanted = {"subject": subject, "metric": metric, "variant": variant, "tokens": tokens}
        rows = rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]
        rows = rows[rows["site"] != "embed"] if not hf else rows[rows["site"] != "hf.0"]
        rows = rows[rows["site"] != "final_norm"].sort_values("depth")
        drawn = self.replicates["layers"][rows.index].astype(float)
        units = rows["n_units"].min() if rows["ci_low"].notna().all() else 0
        return rows["depth"].to_numpy(), np.column_stack([rows["value"], drawn]), int(units)


def statistic(text: str, depth: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of a curve: [1 + B]."""
    early, late = values[depth < 0.34], values[depth > 0.667]
    middle, most = values[(depth > 0.34) & (depth < 0.667)], values[depth < 0.667]
    return {
        "mean of the middle third of depth": lambda: middle.mean(0),
        "mean of the middle third less the last layer": lambda: middle.mean(0) - values[-1],
        "standard deviation over the layers, early third less late third": lambda: (
            early.std(0, ddof=1) - late.std(0, ddof=1)
        ),
        "mean of the first two thirds of depth": lambda: most.mean(0),
        "mean of the first two thirds less the last layer": lambda: most.mean(0) - values[-1],
        "mean of the early third, Transformers beside state-space models": lambda: early.mean(0),
        "mean of the late third less that of the first two": lambda: late.mean(0) - most.mean(0),
        "highest of the early third": lambda: early.max(0),
        "mean of the last quarter of depth": lambda: values[depth > 0.7501].mean(0),
    }[text]()


def verdict(value: float, low: float, high: float, need: tuple[str, float]) -> str:
    """Of one number."""
    sign, limit = need
    if np.isnan(value):
        return "not testable here"
    if np.isnan(low):
        return "undecided"
    if sign == "<":
        low, high, limit = -high, -low, -limit
    return "holds" if low > limit else "fails" if high < limit else "undecided"


def of_curve(
    parts: dict[str, Part], row: Row, variant: str = "raw", tokens: str = "no_sink", *, hf: bool = False
) -> tuple[float, float, float]:
    """Value and interval of a statistic along depth."""
    metric, _, text = row["statistic"].partition(", ")
    part = parts["flow-hf" if hf else "flow"]
    depth, values, units = part.curve(
        row["subject"], metric.replace(" ", "_").replace("-", "_"), variant, tokens, hf=hf
    )
    made = statistic(text, depth, values)
    low, high = interval(made[1:], units)
    return float(made[0]), float(low), float(high)


def is_curve(row: Row) -> bool:
    return row["statistic"].startswith(("adjacent cosine,", "inter-token cosine,")) and row["part"] == "flow"


def stored(
    parts: dict[str, Part], row: Row, tokens: str = "no_sink", variant: str = "raw"
) -> tuple[float, float, float]:
    """Value and interval of a statistic that a table has as it is."""
    if row["claim"] == "C3":
        rows = parts["ablate"].table("ablations").query("metric == 'inter_token_cosine' and scope == 'early'")
        rows = rows[(rows["what"] == row["detail"]) & (rows["blocks"] == "all")]
        columns = ["difference", "difference_low", "difference_high"]
    elif row["claim"] in ("C1", "C2"):
        share = row["statistic"].startswith("share")
        rows = parts["attribute"].table("shares")
        rows = rows[(rows["scheme"] == ("config" if share else row["detail"]))]
        rows = rows[rows["third"] == ("early" if row["claim"] == "C1" else "late")]
        columns = ["share", "share_low", "share_high"] if share else ["random", "random_low", "random_high"]
    else:
        rows = parts["flow"].table("paths")
        rows = rows[(rows["metric"] == BELOW[row["statistic"]]) & (rows["variant"] == "rms")].assign(variant=variant)
        columns = ["value", "ci_low", "ci_high"]
    rows = rows[(rows["subject"] == row["subject"]) & (rows["tokens"] == tokens) & (rows["variant"] == variant)]
    assert len(rows) == 1, row
    value, low, high = (float(v) for v in rows[columns].to_numpy(dtype=float)[0])
    return value, low, high


def together(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The verdict of all models of a kind, from those of the models: (kind, verdict)."""
    for kind, mine in rows[rows["verdict"] != ""].groupby("kind"):
        told = set(mine["verdict"]) - {"not testable here"}
        yield str(kind), "not testable here" if not told else told.pop() if len(told) == 1 else "undecided"
