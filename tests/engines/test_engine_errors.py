"""A model that fails on a batch, however it fails, is one line that names the examples."""

from typing import Any

import pytest
import torch

from repflow.core import Example, ModelProblem, NonFinite
from repflow.engines import Reader
from repflow.engines.losses import next_token_losses
from repflow.engines.shard import run_tapped
from repflow.models.loading import Loaded, load

EXAMPLES = [Example(7, (1, 2, 3)), Example(8, (4, 5, 6))]
IDS = torch.tensor([example.ids for example in EXAMPLES])
FAILURES = [
    (RuntimeError("shapes\ndiffer"), "shapes differ"),
    (TypeError("no"), "TypeError, no"),
    (AttributeError("x"), "AttributeError, x"),
    (NotImplementedError(), "NotImplementedError"),
    (AssertionError(), "AssertionError"),
    (KeyError("rope"), "KeyError, 'rope'"),
    (MemoryError(), "out of memory"),
]


@pytest.fixture(scope="module")
def subject() -> Loaded:
    return load("config:llama,layers=2,width=16")


def failing(subject: Loaded, error: BaseException) -> Reader:
    def forward(_: Any) -> None:
        raise error

    return Reader("m", subject.model, forward, subject.taps, (), torch.device("cpu"), 64)


@pytest.mark.parametrize(("error", "says"), FAILURES)
def test_whatever_a_model_raises(subject: Loaded, error: Exception, says: str) -> None:
    reader = failing(subject, error)
    with pytest.raises(
        ModelProblem, match=rf"^m: the forward pass failed on examples 7\.\.8 \(2 x 3 tokens\): {says}$"
    ):
        run_tapped(reader, IDS, lambda *_: None, EXAMPLES)
    with pytest.raises(ModelProblem, match=rf"^m: the next-token loss failed on examples 7\.\.8: {says}$"):
        next_token_losses(reader, EXAMPLES)


def test_our_own_errors_and_interruptions_pass(subject: Loaded) -> None:
    for error in (NonFinite("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            run_tapped(failing(subject, error), IDS, lambda *_: None, EXAMPLES)


def test_what_the_sink_raises_is_not_the_models(subject: Loaded) -> None:
    def sink(*_: Any) -> None:
        raise AssertionError("ours")

    reader = Reader("m", subject.model, subject.forward, subject.taps, (), torch.device("cpu"), 64)
    with pytest.raises(AssertionError, match="ours"):
        run_tapped(reader, IDS, sink, EXAMPLES)
