"""The run that comes with the package: the flow of the zoo's models in the course of their training."""

import numpy as np
import pytest
import torch

import repflow
from repflow.core import block_taps
from repflow.models import load
from repflow.models.zoo import TRAINED
from repflow.tasks.files import shipped
from repflow.training.zoo.flow import CONTEXT, EXAMPLES


@pytest.mark.parametrize("name", TRAINED)
def test_training_began_where_config_initialisation_stands(name: str) -> None:
    (facts,) = [facts for facts in repflow.open("zoo:training").subjects if facts["label"] == f"zoo:{name}"]
    assert facts["weights_sha256_of_steps"][0] == load(f"zoo:{name}@init=config:0").facts.weights_sha256


@pytest.mark.parametrize("name", ["pythia-tiny", "mamba2-tiny"])
def test_training_ended_at_the_shipped_weights(name: str) -> None:
    """To the digits of bfloat16, which the shipped weights are rounded to; read from the prose's beginning."""
    layers = repflow.open("zoo:training").layers
    rows = layers[(layers["subject"] == f"zoo:{name}") & (layers["metric"] == "inter_token_cosine")]
    rows = rows[(rows["variant"] == "raw") & (rows["tokens"] == "all") & rows["site"].str.startswith("block.")]
    last = rows[rows["step"] == rows["step"].max()].set_index("site")["value"]
    first = rows[rows["step"] == 0].set_index("site")["value"]
    now = cosines(name)
    assert now.keys() == set(last.index)
    assert max(abs(now[site] - last[site]) for site in now) < 0.02
    assert max(abs(now[site] - first[site]) for site in now) > 0.1


@torch.no_grad()
def cosines(name: str) -> dict[str, float]:
    """Mean cosine of two different tokens after each block, by numpy."""
    subject = load(f"zoo:{name}", device="cpu")
    ids = subject.tokenizer(shipped("prose.txt").read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    batch = torch.tensor(ids[: EXAMPLES * CONTEXT]).view(EXAMPLES, CONTEXT)
    kept: dict[str, list[np.ndarray]] = {tap.site.name: [] for tap in block_taps(subject.taps)}
    for tap in block_taps(subject.taps):
        subject.model.get_submodule(tap.module).register_forward_hook(
            lambda module, args, out, site=tap.site.name: kept[site].append(  # noqa: ARG005
                (out[0] if isinstance(out, tuple) else out).numpy()
            )
        )
    for part in batch.split(8):
        subject.forward(part)
    return {site: float(np.mean([mean_cosine(x) for x in np.concatenate(states)])) for site, states in kept.items()}


def mean_cosine(states: np.ndarray) -> float:
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    n = len(unit)
    return float((np.square(unit.sum(0)).sum() - n) / (n * (n - 1)))
