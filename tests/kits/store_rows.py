"""Small rows, and the facts of a run, to write and read back."""

import math
from collections.abc import Callable
from typing import Any

from repflow.core import LayerRow, PairRow, PathRow
from repflow.store import Run

MakeRun = Callable[..., Run]
"""Name, layer rows and info -> a finished run; see the fixture."""


def layer_row(subject: str = "m", site_index: int = 1, value: float = 0.5, **changes: Any) -> LayerRow:
    n_blocks = 4
    site = "embed" if site_index == 0 else "final_norm" if site_index > n_blocks else f"block.{site_index - 1}"
    fields: dict[str, Any] = {
        "subject": subject,
        "family": "llama",
        "init": "trained",
        "task": "text",
        "context": 128,
        "site": site,
        "site_index": site_index,
        "depth": min(site_index / n_blocks, 1.0),
        "metric": "inter_token_cosine",
        "variant": "raw",
        "tokens": "all",
        "value": value,
        "ci_low": value - 0.1,
        "ci_high": value + 0.1,
        "n_examples": 8,
        "n_tokens": 1024,
    }
    return LayerRow(**{**fields, **changes})


def path_row(subject: str = "m", metric: str = "v_loc", value: float = 0.02, **changes: Any) -> PathRow:
    low, high = value * 0.9, value * 1.1
    fields = {"task": "text", "context": 128, "variant": "rms", "tokens": "all", "ci_low": low, "ci_high": high}
    return PathRow(**{"subject": subject, "metric": metric, "value": value, "n_examples": 8, **fields, **changes})


def pair_row(subject_a: str = "m", subject_b: str = "m", value: float = 0.9) -> PairRow:
    ends = {"subject_a": subject_a, "site_a": "embed", "depth_a": 0.0, "subject_b": subject_b, "site_b": "block.0"}
    key = {"depth_b": 0.25, "task": "text", "context": 128, "metric": "cka", "variant": "token", "tokens": "all"}
    return PairRow(**ends, **key, value=value, ci_low=math.nan, ci_high=math.nan, n_examples=8)


def run_info(*labels: str, sha: str = "e" * 64, seed: int = 0, **changes: Any) -> dict[str, Any]:
    subjects = [
        {"label": label, "family": "llama", "kind": "TBM", "init": "trained", "n_blocks": 4} for label in labels
    ]
    tasks = [{"name": "text", "context": 128, "examples_sha256": sha}]
    return {"subjects": subjects, "tasks": tasks, "seed": seed, **changes}
