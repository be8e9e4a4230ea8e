"""Bounds from contractivity hold for everything measured, and are attained where they should be."""

import math

import pytest
import torch
from dynamics_twins import FAMILIES, Slow, inputs_and_outputs, module_of, shaken, slow
from torch import Tensor

from repflow.core import Site
from repflow.metrics import poisson_weights
from repflow.metrics.batch import spaced_rows
from repflow.models import Loaded
from repflow.studies.dynamics.ssm import BlockMixer, Bound, Recurrence, bounds, mixers, reading
from repflow.studies.dynamics.ssm.observed import LAGS, STARTS, observed
from repflow.studies.dynamics.ssm.state import TransitionState, summed

TOKENS = 48
IDS = torch.randint(0, 250, (2, TOKENS), generator=torch.Generator().manual_seed(2))
REAL = torch.ones(2, TOKENS, dtype=torch.bool)


def read(subject: Loaded) -> TransitionState:
    seen = []
    with reading(subject.model, mixers(subject), lambda _, recurrence: seen.append(observed(recurrence, REAL))):
        subject.forward(IDS)
    return summed(seen, poisson_weights(0, [0, 1], 4), torch.ones(2, dtype=torch.bool))


def by_name(found: tuple[Bound, ...], block: int) -> dict[tuple[str, int | None], Bound]:
    return {(bound.name, bound.lag): bound for bound in found if bound.block == block}


def influence(of: Slow, start: int, lag: int) -> Tensor:
    """How far a state is moved `lag` tokens after a push of size 1 at `start`, by running the recurrence twice [u, s].

    The push goes to every state on its own: the recurrence mixes none of them.
    """
    state, pushed = of.states[start], of.states[start] + 1.0
    for t in range(start + 1, start + 1 + lag):
        state = of.transitions[t][:, None, :] * state + of.inputs[t]
        pushed = of.transitions[t][:, None, :] * pushed + of.inputs[t]
    return (pushed - state).amax(1)


def product(of: Slow, lag: int) -> Tensor:
    """The products of `lag` transitions after every token [t - lag, u, s]."""
    return torch.stack([of.transitions[t + 1 : t + 1 + lag].prod(0) for t in range(len(of.transitions) - lag)])


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_bounds_hold_for_the_measured_influence_of_the_state(family: str) -> None:
    subject = shaken(family)
    found = mixers(subject)
    table = bounds(read(subject), found)
    passes = inputs_and_outputs(subject, found, IDS)
    starts = spaced_rows(TOKENS // 2, STARTS)
    for mixer in found:
        given, _ = passes[mixer.module]
        own = by_name(table, mixer.block)
        twins = [slow(module_of(subject, mixer), mixer.kind, row) for row in given]
        for lag in (lag for lag in LAGS if lag <= TOKENS // 2):
            moved = torch.stack([influence(twin, int(start), lag) for twin in twins for start in starts])
            bound = own["memory", lag]
            rounding = 1 + 1e-5 * lag  # the twin's time steps are float64, the model's float32
            assert bool((moved <= bound.bound * rounding).all()), "on every sampled pair"
            largest = max(float(product(twin, lag).max()) for twin in twins)
            assert largest == pytest.approx(bound.measured, rel=1e-4, abs=1e-9)
            units, mean = moved[..., : mixer.states], own["memory_mean", lag]
            assert (bound.sampled, mean.sampled) == (False, True)
            assert bound.n == 2 * (TOKENS - lag) * units[0].numel()
            assert mean.n == units.numel()
            assert float(units.mean()) == pytest.approx(mean.measured, rel=1e-4, abs=1e-9)
            assert own["memory_mean", lag].ratio >= 1
            assert 1 <= bound.ratio == pytest.approx(bound.bound / bound.measured, rel=1e-9)
        every = torch.stack([twin.states.flatten(2).norm(dim=-1) for twin in twins])
        sizes, rho = own["state_norm", None], max(float(twin.transitions.max()) for twin in twins)
        assert own["rho", None].measured == pytest.approx(rho, rel=1e-5)
        entering = max(float(twin.inputs.flatten(2).norm(dim=-1).max()) for twin in twins)
        assert sizes.bound == pytest.approx(entering / (1 - rho), rel=1e-2)
        assert sizes.measured == pytest.approx(float(every.max()), rel=1e-3)
        assert float(every.max()) <= own["state_norm_by_unit", None].bound * (1 + 1e-6) <= sizes.bound * (1 + 1e-6)
        assert not any(bound.vacuous for bound in own.values())


def planted(rate: Tensor, x: Tensor) -> dict[tuple[str, int | None], Bound]:
    """The bounds of a recurrence of [u] constant rates and inputs over 400 tokens."""
    units = len(rate)
    ones = torch.ones(1, 400, units)
    return bounds_of(Recurrence(ones, rate[:, None], ones[..., None] * x[:, None], ones[..., :1, None]))


def bounds_of(recurrence: Recurrence) -> dict[tuple[str, int | None], Bound]:
    """The bounds of a recurrence over one example."""
    units = recurrence.dt.shape[2]
    real = torch.ones(recurrence.dt.shape[:2], dtype=torch.bool)
    state = summed([observed(recurrence, real)], poisson_weights(0, [0], 4), torch.ones(1) > 0)
    mixer = BlockMixer(3, Site("block.3", 4, 0.5), "m", "mamba2", "head", units, 1)
    return by_name(bounds(state, (mixer,)), 3)


def test_constant_transitions_attain_every_bound() -> None:
    found = planted(torch.tensor([0.25]), torch.tensor([2.0]))
    assert found["rho", None].measured == pytest.approx(math.exp(-0.25), rel=1e-6)
    for (name, lag), bound in found.items():
        if lag:
            assert bound.ratio == pytest.approx(1.0, rel=1e-6), name
            assert bound.measured == pytest.approx(math.exp(-0.25 * lag), rel=1e-5)
    limit = 2.0 / (1 - math.exp(-0.25))
    for name in ("state_norm", "state_norm_by_unit"):
        assert found[name, None].bound == pytest.approx(limit, rel=1e-5)
        assert found[name, None].ratio == pytest.approx(1.0, rel=1e-5), "400 tokens reach the limit"
    assert max(lag for _, lag in found if lag) == 128, "half of 400 tokens holds 128, not 256"


def test_no_rounding_breaks_the_memory_bound() -> None:
    """The least time steps lie between ones 1e12 times as long, and reach the bound alone."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(10):
        dt = torch.exp(4 * torch.randn(1, 64, 1, generator=draw))
        dt[0, ::3] = 1e-8 * (1 + torch.rand(1, generator=draw))
        recurrence = Recurrence(dt, torch.tensor([[0.37]]), torch.ones(1, 64, 1, 1), torch.ones(1, 64, 1, 1))
        found = bounds_of(recurrence)
        assert all(bound.ratio >= 1 for (name, _), bound in found.items() if name == "memory")
        assert found["memory", 1].ratio == 1


def test_each_units_own_constants_are_the_tighter_bound() -> None:
    found = planted(torch.tensor([0.01, 1.0]), torch.tensor([0.1, 5.0]))
    assert found["state_norm", None].bound == pytest.approx(5.0 / (1 - math.exp(-0.01)), rel=1e-4)
    assert found["state_norm_by_unit", None].bound == pytest.approx(0.1 / (1 - math.exp(-0.01)), rel=1e-4)
    mean = (math.exp(-0.01 * 64) + math.exp(-64.0)) / 2
    assert found["memory_mean", 64].bound == pytest.approx(mean, rel=1e-4) == found["memory_mean", 64].measured
    assert found["memory", 64].bound == pytest.approx(math.exp(-0.64), rel=1e-4)


@pytest.mark.parametrize(("rate", "vacuous"), [(1.1e-6, False), (0.9e-6, True), (0.0, True)])
def test_a_rho_of_nearly_one_bounds_nothing(rate: float, vacuous: bool) -> None:
    found = planted(torch.tensor([rate, 1.0]), torch.tensor([1.0, 1.0]))
    assert {bound.vacuous for bound in found.values()} == {vacuous}
    assert found["memory", 128].bound == pytest.approx(math.exp(-128 * rate), rel=1e-9)
    if rate == 0:
        assert found["state_norm", None].bound == math.inf == found["state_norm", None].ratio
        assert found["rho", None].measured == 1.0


def test_a_state_that_forgets_at_once() -> None:
    found = planted(torch.tensor([1e30]), torch.tensor([1.0]))
    assert found["memory", 1].bound == 0 == found["memory", 1].measured
    assert found["state_norm", None].ratio == pytest.approx(1.0)
