"""A run of models in training, made up from smooth curves and written through the store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic import facts, layer_rows, pair_rows, path_rows

from repflow.core import LayerRow
from repflow.report.run import Run
from repflow.store import RunWriter

FIVE = (
    ("zoo:pythia-tiny", "gpt_neox", "TBM", 12, "trained"),
    ("zoo:gpt-neo-tiny", "gpt_neo", "TBM", 12, "trained"),
    ("zoo:mamba-tiny", "mamba", "SSM", 12, "trained"),
    ("zoo:mamba2-tiny", "mamba2", "SSM", 12, "trained"),
    ("zoo:hybrid-tiny", "jamba", "hybrid", 12, "trained"),
)
STEPS = (0, *(2**i for i in range(11)), 3000)
B = 60


def inter_token_cosine(place: int, kind: str, depth: float, step: int) -> float:
    """Transformers rise early in depth, state-space models late, the second of each less; hybrids hardly move."""
    share = np.log1p(step) / np.log1p(3000)
    shape = {"TBM": np.exp(-3 * depth), "SSM": depth**2}.get(kind, 0.1)
    height = 0.6 - 0.15 * place if kind != "hybrid" else 0.05
    return float(0.03 + height * shape / (1 + np.exp(-14 * (share - 0.5 - 0.08 * place))))


def _at_step(row: LayerRow, place: int, kind: str, step: int) -> LayerRow:
    value = row.value * (0.5 + 0.5 * step / 3000)
    if row.metric == "inter_token_cosine":
        value = inter_token_cosine(place, kind, row.depth, step) - 0.02 * (row.tokens == "no_sink")
    if row.metric == "adjacent_cosine":
        value = 1 - 0.3 * row.depth * step / 3000
    return replace(row, value=value, ci_low=value - 0.01, ci_high=value + 0.01, step=step)


def write_training_run(
    directory: Path,
    subjects=FIVE,
    steps=STEPS,
    scenes=(("text", 512),),
    policies=("all", "no_sink"),
    replicates: bool = True,
) -> Run:
    """The run, opened. Replicates of a subject's rows at one step all move together, by about 0.006."""
    layers, pairs, paths, noise = [], [], [], []
    draws = np.random.default_rng(0)
    shared = draws.normal(0, 0.005, B)
    for place, subject in enumerate(subjects):
        own = ((subject,), scenes, policies)
        bare = list(layer_rows(*own))
        for step in steps:
            layers += [_at_step(row, place, subject[2], step) for row in bare]
            noise += [shared + draws.normal(0, 0.003, B)] * len(bare)
            shift = 0.2 * step / 3000
            pairs += [
                replace(row, value=row.value + shift * (row.site_a != row.site_b), step=step) for row in pair_rows(*own)
            ]
            paths += [replace(row, step=step) for row in path_rows(*own)]
    kept = {"layers": np.array([row.value for row in layers])[:, None] + np.array(noise)} if replicates else None
    info = {
        "subjects": [facts(*subject) for subject in subjects],
        "tasks": [
            {"name": task, "context": context, "n_examples": 16, "n_tokens": 16 * context, "examples_sha256": "c" * 64}
            for task, context in scenes
        ],
        "seed": 0,
    }
    with RunWriter.create(directory, {"seed": 0}, "train") as writer:
        writer.finish(layers, pairs, paths, info, replicates=kept)
    return Run.load(directory)
