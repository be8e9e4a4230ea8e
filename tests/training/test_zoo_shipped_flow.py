"""The run that comes with the package: the flow of the zoo's first edition in the course of its training."""

import pytest

import repflow

FIRST_EDITION = ("pythia-tiny", "gpt-neo-tiny", "mamba-tiny", "mamba2-tiny", "hybrid-tiny")
TRANSFORMERS = ("pythia-tiny", "gpt-neo-tiny")


def cosine(name: str, step: int, third: tuple[float, float]) -> float:
    layers = repflow.open("zoo:training").layers
    rows = layers[(layers["subject"] == f"zoo:{name}") & (layers["metric"] == "inter_token_cosine")]
    rows = rows[(rows["variant"] == "raw") & (rows["tokens"] == "no_sink") & (rows["step"] == step)]
    low, high = third
    rows = rows[rows["site"].str.startswith("block.") & (rows["depth"] > low) & (rows["depth"] <= high)]
    return float(rows["value"].mean())


@pytest.mark.parametrize("name", FIRST_EDITION)
def test_there_are_a_dozen_steps_of_each(name: str) -> None:
    layers = repflow.open("zoo:training").layers
    steps = set(layers[layers["subject"] == f"zoo:{name}"]["step"])
    assert 0 in steps
    assert len(steps) >= 12


@pytest.mark.parametrize("name", FIRST_EDITION)
def test_its_course_is_what_the_page_on_the_zoo_says(name: str) -> None:
    late = (2 / 3 + 1e-9, 1.0)
    steps = sorted(set(repflow.open("zoo:training").layers["step"]))
    start, end = cosine(name, 0, late), cosine(name, steps[-1], late)
    assert (start > 0.5) == (name in TRANSFORMERS)
    assert max(cosine(name, step, late) for step in steps) > 0.8
    assert 0.15 < end < 0.25


def test_it_is_not_of_the_weights_that_are_shipped_now() -> None:
    from repflow.models import load

    (facts,) = [s for s in repflow.open("zoo:training").subjects if s["label"] == "zoo:pythia-tiny"]
    assert facts["weights_sha256_of_steps"][-1] != load("zoo:pythia-tiny").facts.weights_sha256
