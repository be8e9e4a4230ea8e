"""What METHODS says each quantity is blind to, and what it is not."""

from dataclasses import replace

import pytest
import torch
from toolkit import QUICK, Trajectory, assert_same, estimates, fill_padding, outcome, run, trajectory

from repflow.metrics.path import CELLS
from repflow.metrics.registry import INTERNAL, METRICS
from repflow.metrics.states import Means

LENGTHS = (14, 9, 14, 6, 11, 14, 8, 14)
MADE = trajectory(n=8, d=24, lengths=LENGTHS, specials=1)
WHOLE = run(MADE)

IN_UNITS = {"norm": ("mean", "median", "max")}
"""Variants in the model's own units; everything else does not know the scale."""
PATH_POWER = {"v_loc": 2, "v_glob": 2, "path_energy": 2, "path_length": 1}
"""How the raw variants grow with the scale."""
VALUED = [name for name in METRICS if name not in INTERNAL]


def _orthogonal(d: int, seed: int = 0) -> torch.Tensor:
    draw = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(draw).Q


def _close(a: torch.Tensor, b: torch.Tensor, rtol: float = 2e-5, atol: float = 5e-6) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol, equal_nan=True)


@pytest.mark.parametrize("name", [n for n in VALUED if n != "feature_share"])
def test_a_rotation_of_the_residual_stream_changes_nothing(name: str) -> None:
    turn = _orthogonal(24)
    turned = run(MADE.mapped(lambda s: (s.double() @ turn).float()), [name])
    _close(estimates(turned, name), estimates(WHOLE, name))


@pytest.mark.parametrize("name", ["token_cka", "token_cka_biased", "example_cka"])
def test_cka_is_blind_to_a_rotation_and_a_scale_of_each_site_apart(name: str) -> None:
    states = tuple(((2.0 + i) * s.double() @ _orthogonal(24, i)).float() for i, s in enumerate(MADE.states))
    apart = Trajectory(MADE.sites, states, MADE.real, torch.zeros_like(MADE.special), MADE.ids)
    plain = Trajectory(MADE.sites, MADE.states, MADE.real, apart.special, MADE.ids)
    _close(estimates(run(apart, [name]), name), estimates(run(plain, [name]), name))


@pytest.mark.parametrize("name", [n for n in VALUED if n not in IN_UNITS and n != "path"])
@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_a_common_scale_changes_nothing(name: str, scale: float) -> None:
    _close(estimates(run(MADE.mapped(lambda s: s * scale), [name]), name), estimates(WHOLE, name))


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_a_common_scale_leaves_path_metrics_by_rms_and_unit_and_grows_the_raw_ones(scale: float) -> None:
    scaled = estimates(run(MADE.mapped(lambda s: s * scale), ["path"]), "path")
    for cell, (metric, variant) in enumerate(CELLS):
        power = PATH_POWER.get(metric, 0) if variant == "raw" else 0
        _close(scaled[cell] / scale**power, estimates(WHOLE, "path")[cell])


def test_norms_grow_with_the_scale() -> None:
    _close(estimates(run(MADE.mapped(lambda s: s * 7), ["norm"]), "norm"), 7 * estimates(WHOLE, "norm"))


@pytest.mark.parametrize("fill", [0.0, -3e4, 1e30, torch.nan, torch.inf])
def test_whatever_stands_at_the_padding_changes_nothing(fill: float) -> None:
    assert_same(run(fill_padding(MADE, fill)), WHOLE, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("fill", [0.0, 1e30, torch.nan])
def test_padding_at_the_left_counts_as_little(fill: float) -> None:
    left = _rolled(fill_padding(MADE, fill))
    for name in VALUED:
        for a, b in zip(outcome(run(left, [name])[name]), outcome(WHOLE[name]), strict=True):
            _close(a, b, rtol=1e-6, atol=2e-6)


def _rolled(made: Trajectory) -> Trajectory:
    """The same examples with their padding at the left."""

    def roll(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([row.roll(len(real) - int(real.sum()), 0) for row, real in zip(x, made.real, strict=True)])

    return Trajectory(made.sites, tuple(roll(s) for s in made.states), roll(made.real), roll(made.special), made.ids)


def test_more_padding_changes_nothing() -> None:
    wider = Trajectory(
        MADE.sites,
        tuple(torch.nn.functional.pad(s, (0, 0, 0, 9), value=5.0) for s in MADE.states),
        torch.nn.functional.pad(MADE.real, (0, 9)),
        torch.nn.functional.pad(MADE.special, (0, 9)),
        MADE.ids,
    )
    assert_same(run(wider), WHOLE, rtol=1e-6, atol=2e-6)


def test_the_order_of_examples_changes_nothing() -> None:
    assert_same(run(MADE.take([5, 0, 7, 2, 1, 6, 4, 3])), WHOLE, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if m.state is Means])
def test_the_order_of_tokens_matters_to_sequence_quantities_alone(name: str) -> None:
    made = trajectory(n=4, d=24)
    shuffle = torch.randperm(14, generator=torch.Generator().manual_seed(3))
    before, after = (estimates(run(m, [name]), name) for m in (made, made.mapped(lambda s: s[:, shuffle])))
    same = torch.allclose(before, after, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert same == (name not in ("offset_cosine", "sequence_curvature"))


def test_a_callers_autocast_costs_no_digits() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = run(MADE)
    assert_same(inside, WHOLE)


def test_a_callers_gradients_and_inference_mode_change_nothing() -> None:
    with torch.inference_mode():
        inside = run(MADE)
    assert_same(inside, WHOLE)
    wanted = MADE.mapped(lambda s: s.clone().requires_grad_())
    assert_same(run(wanted), WHOLE)


def test_options_decide_the_policies_that_are_stored() -> None:
    only = run(MADE, ["norm", "token_cka", "path"], replace(QUICK, policies=("no_sink",)))
    for name, axis in (("norm", 2), ("token_cka", 0), ("path", 1)):
        _close(estimates(only, name), estimates(WHOLE, name).narrow(axis, 2, 1))
