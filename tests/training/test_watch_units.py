"""Units in watch: resampled whole by every metric, and told where they are too few."""

import pytest
import torch
from torch import nn

import repflow
from repflow.core import BadSetting, Site, Tap

TAPS = (Tap(Site("in", 0, 0.0), "0", "input"), Tap(Site("out", 1, 1.0), "", "output"))


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).requires_grad_(False)


def test_every_metric_resamples_the_units_given() -> None:
    """64 rows of 8 units, in two passes whose units lie across both."""
    inner = model()
    with repflow.watch(inner, sites=TAPS, metrics=["norm", "token_cka", "example_cka"]) as flow:
        for _ in range(2):
            flow.units([row // 4 for row in range(32)])
            inner(torch.randn(32, 6, 8))
    assert set(flow.layers["n_units"]) == {8}
    assert set(flow.pairs["variant"]) == {"token", "example"}
    assert set(flow.pairs["n_units"]) == {8}
    assert set(flow.pairs["n_examples"]) == {64}


def test_units_of_a_pass_that_fails_do_not_count() -> None:
    inner = model()
    with repflow.watch(inner, sites=TAPS, metrics=["norm"]) as flow:
        flow.units([90, 91, 92])
        with pytest.raises(RuntimeError):
            inner(torch.randn(3, 6, 7))
        flow.units([1, 1])
        inner(torch.randn(2, 6, 8))
    assert flow.warnings == (
        "watch: 2 examples of 1 unit; fewer than 8 give no interval: raise --examples, or give more text or sources",
    )


@pytest.mark.parametrize(
    ("rows", "units", "said"),
    [
        (40, None, ""),
        (9, None, "watch: 9 examples; they make rough intervals, 30 or more make good ones"),
        (40, 10, "watch: 40 examples of 10 units; they make rough intervals"),
        (40, 5, "watch: 40 examples of 5 units; fewer than 8 give no interval"),
        (7, None, "watch: 7 examples; fewer than 8 give no interval"),
    ],
)
def test_too_few_units_are_told(rows: int, units: int | None, said: str) -> None:
    inner = model()
    with repflow.watch(inner, sites=TAPS, metrics=["norm"]) as flow:
        if units:
            flow.units([row % units for row in range(rows)])
        inner(torch.randn(rows, 6, 8))
    if said:
        (text,) = flow.warnings
        assert text.startswith(said)
    else:
        assert flow.warnings == ()
    assert flow.layers["ci_low"].notna().all() == ("no interval" not in said)


def test_steps_alike_in_it_are_told_together() -> None:
    inner = model()
    with repflow.watch(inner, sites=TAPS, metrics=["norm"]) as flow:
        for step, rows in ((3, 9), (4, 30), (5, 9), (6, 9), (7, 10)):
            flow.step(step)
            inner(torch.randn(rows, 6, 8))
    said = [text.partition(":")[0] for text in flow.warnings]
    assert said == ["step 3 and 2 more", "step 7"]


def test_units_are_given_before_each_pass_of_a_step_or_before_none() -> None:
    inner = model()
    with repflow.watch(inner, sites=TAPS, metrics=["norm"]) as flow:
        flow.units([0, 1])
        inner(torch.randn(2, 6, 8))
        with pytest.raises(BadSetting, match="some passes of a step were given units and others not"):
            inner(torch.randn(2, 6, 8))
