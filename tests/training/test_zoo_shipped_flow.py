"""The run that comes with the package: the flow of the zoo's models in the course of their training."""

import pytest

import repflow
from repflow.models.zoo import TRAINED
from repflow.training.zoo.flow import CONTEXT, EXAMPLES, METRICS

KEYS = ["site", "metric", "variant", "tokens"]


def rows_at(subject, step):
    layers = repflow.open("zoo:training").layers
    return layers[(layers["subject"] == f"zoo:{subject}") & (layers["step"] == step)].set_index(KEYS)


def measured(spec, out):
    run = repflow.flow(spec, task="text", context=CONTEXT, examples=EXAMPLES, metrics=METRICS, device="cpu", out=out)
    return run.layers.set_index(KEYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_training_began_where_config_initialisation_stands(name, tmp_path):
    begun, drawn = rows_at(name, 0), measured(f"zoo:{name}@init=config:0", tmp_path / "run")
    assert begun.index.isin(drawn.index).all()
    for column in ("value", "ci_low", "ci_high"):
        assert (begun[column] - drawn[column].reindex(begun.index)).abs().max() < 1e-4


@pytest.mark.slow
def test_training_ended_at_the_shipped_weights(tmp_path):
    """To the digits of bfloat16, which the shipped weights are rounded to."""
    layers = repflow.open("zoo:training").layers
    last = rows_at("pythia-tiny", layers["step"].max())
    now = measured("zoo:pythia-tiny", tmp_path / "run").reindex(last.index)
    cosines = last.index.get_level_values("metric") == "inter_token_cosine"
    assert (last["value"] - now["value"])[cosines].abs().max() < 0.02
    assert (last["value"] - rows_at("pythia-tiny", 0)["value"])[cosines].abs().max() > 0.1
