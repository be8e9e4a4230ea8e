"""Transitions as a metric of the streaming pass: batches, shards, passes outside, examples that are not finite."""

import math
from collections.abc import Sequence

import pytest
import torch
from dynamics_twins import shaken

from repflow.core import Example, ModelProblem
from repflow.engines import Job, Reader, run_job
from repflow.engines.local import Forgetful
from repflow.metrics import Options
from repflow.models import Loaded, load
from repflow.studies.dynamics.ssm import TransitionState, mixers, transition_values, transitions_of

REPLICATES = 12


class Quiet:
    def note(self, line: str) -> None:
        del line

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        del title, total, unit

    def advance(self, done: int, tokens: int) -> None:
        del done, tokens


def measured(subject: Loaded, batch_tokens: int, shard: int, rows: Sequence[Sequence[int]]) -> TransitionState:
    examples = tuple(Example(i, tuple(row)) for i, row in enumerate(rows))
    reader = Reader("tiny", subject.model, subject.forward, subject.taps, (), subject.device, batch_tokens)
    with transitions_of(subject, mixers(subject)) as metric:
        job = Job("key", examples, (), (metric,), Options(replicates=REPLICATES), shard)
        stray = torch.zeros(1, 4, dtype=torch.int64)  # outside a batch: not counted
        subject.forward(stray)
        state = run_job(reader, job, Forgetful(), Quiet()).states["transitions"]
        subject.forward(stray)
        return state


@pytest.mark.parametrize("family", ["mamba", "mamba2", "jamba"])
def test_the_engine_gives_the_same_in_any_batches(family: str) -> None:
    subject, draw = shaken(family), torch.Generator().manual_seed(3)
    rows = [torch.randint(0, 250, (t,), generator=draw).tolist() for t in (40, 12, 33, 8, 40)]
    one, other = measured(subject, 10_000, 5, rows), measured(subject, 40, 2, rows)
    assert one.examples == other.examples == 5
    assert torch.equal(one.spread[:, :, 0].sum(1), other.spread[:, :, 0].sum(1))
    a, b = transition_values(one), transition_values(other)
    for key, value in a.items():
        if key[0] != "horizon":
            torch.testing.assert_close(
                value, b[key], rtol=1e-3, atol=1e-6, equal_nan=True, msg=lambda m, k=key: f"{k} {m}"
            )


def test_an_example_that_is_not_finite_is_left_out() -> None:
    subject, bad = load("config:mamba,layers=1,width=16"), 251
    subject.model.get_input_embeddings().weight.data[bad] = math.nan
    good = [(1 + i, 2, 3, 4) for i in range(100)]
    with_bad, without = measured(subject, 10_000, 101, [*good, (1, bad, 3, 4)]), measured(subject, 10_000, 100, good)
    assert with_bad.examples == without.examples == 100
    assert torch.equal(with_bad.spread[:, :, 0].sum(1), without.spread[:, :, 0].sum(1))
    both = transition_values(with_bad), transition_values(without)
    for key, value in both[0].items():
        torch.testing.assert_close(value, both[1][key], rtol=1e-3, atol=1e-6, equal_nan=True, msg=f"{key}")


def test_a_model_without_mixers_is_refused() -> None:
    subject = load("config:gpt2,layers=2,width=16")
    with (
        pytest.raises(ModelProblem, match="no state-space block whose transitions can be read"),
        transitions_of(subject, mixers(subject)),
    ):
        pass
