"""States at places of prompts: those of each prompt run by itself, whatever the batch, with answers or without."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from repflow.capture import tapped
from repflow.core import Example, ModelProblem
from repflow.core.places import Place, parse_places
from repflow.engines import Reader
from repflow.engines.features import read_states
from repflow.models import Loaded, load
from repflow.models.generation import continued

PLACES = parse_places(["last", "gold", "mean", "even:3"])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def examples(lengths: Sequence[int]) -> list[Example]:
    draw = np.random.default_rng(5)
    return [
        Example(id=10 + i, ids=tuple(draw.integers(0, 250, n).tolist()), gold_span=(2 + i % 3, 6 + i % 4))
        for i, n in enumerate(lengths)
    ]


def reader_of(subject: Loaded, batch_tokens: int) -> Reader:
    return Reader(subject.facts.label, subject.model, subject.forward, subject.taps, (), subject.device, batch_tokens)


def alone(subject: Loaded, example: Example, places: Sequence[Place]) -> np.ndarray:
    """[places, sites, width], by the book."""
    kept: list[Tensor] = []
    with torch.no_grad(), tapped(subject.model, subject.taps, lambda _, states: kept.append(states[0].clone())):
        subject.forward(torch.tensor([example.ids]))
    n = len(example.ids)
    of_place = {"last": lambda s: s[n - 1], "gold": lambda s: s[example.gold_span[1] - 1], "mean": lambda s: s.mean(0)}
    of_place |= {f"even.{k}of3": lambda s, k=k: s[round(k / 4 * (n - 1))] for k in (1, 2, 3)}
    return np.stack([[of_place[place.name](states).numpy() for states in kept] for place in places])


def speaker(subject: Loaded, log: list[tuple[int, ...]]):
    def speak(ids: Tensor, chunk: Sequence[Example]) -> list[str]:
        log.append(tuple(ids.shape))
        assert [tuple(row) for row in ids.tolist()] == [example.ids for example in chunk]
        return continued(subject, ids, new_tokens=3, ended=lambda *_: False)

    return speak


@pytest.mark.parametrize("family", ["pythia", "mamba2", "jamba", "recurrent_gemma"])
@pytest.mark.parametrize("batch_tokens", [1, 100])
def test_each_state_is_that_of_the_prompt_by_itself(family: str, batch_tokens: int) -> None:
    subject = load(f"config:{family},layers=3,width=32")
    given = examples([17, 30, 17, 12, 30, 17])
    expected = np.stack([alone(subject, example, PLACES) for example in given], axis=2)
    log: list[tuple[int, ...]] = []
    for speak in (None, speaker(subject, log)):
        read = read_states(reader_of(subject, batch_tokens), given, PLACES, subject.facts.width, speak)
        assert read.states.shape == (6, 5, 6, 32)
        assert np.abs(read.states - expected).max() < 2e-5 * np.abs(expected).max()
        assert read.broken == []
    # No prompt is padded for its answer, and those of one length go together as far as a batch holds them.
    together = [(1, 12), (3, 17), (2, 30)] if batch_tokens == 100 else [(1, 12), *[(1, 17)] * 3, *[(1, 30)] * 2]
    assert log == together


def test_answers_are_in_the_order_of_the_examples() -> None:
    subject = load("config:llama,layers=2,width=32")
    given = examples([17, 30, 17, 12])
    read = read_states(reader_of(subject, 100), given, PLACES, 32, speaker(subject, []))
    one_by_one = [
        continued(subject, torch.tensor([example.ids]), new_tokens=3, ended=lambda *_: False)[0] for example in given
    ]
    assert read.answers == one_by_one
    assert len(set(one_by_one)) == 4, "the order shows"
    assert read.answering > 0
    assert read_states(reader_of(subject, 100), given, PLACES, 32).answers == []


def test_states_that_are_not_finite_are_named() -> None:
    subject = load("config:pythia,layers=2,width=32")
    given = examples([17, 17, 17])
    with torch.no_grad():
        subject.model.get_input_embeddings().weight[given[1].ids[-1]] = torch.nan
    spoiled = [e.id for e in given if given[1].ids[-1] in e.ids]
    read = read_states(reader_of(subject, 100), given, parse_places(["last", "mean"]), 32)
    assert read.broken == [(example_id, 0) for example_id in spoiled]
    assert spoiled[0] == 11


def test_a_first_pass_that_is_not_over_the_prompts_is_no_reading() -> None:
    subject = load("config:pythia,layers=2,width=32")

    def speak(ids: Tensor, chunk: Sequence[Example]) -> list[str]:
        subject.forward(ids[:, :5])
        return [""] * len(chunk)

    with pytest.raises(ModelProblem, match="does not hold the whole prompts at embed; use --no-generate"):
        read_states(reader_of(subject, 100), examples([17, 17]), PLACES, 32, speak)


def test_the_hooks_keep_no_more_than_the_places() -> None:
    subject = load("config:pythia,layers=2,width=32,positions=4096")
    given = examples([3000])
    read = read_states(reader_of(subject, 4000), given, parse_places(["last"]), 32)
    assert read.states.base is None, "no view of a larger array"
    assert read.states.nbytes == 4 * 32 * 4
