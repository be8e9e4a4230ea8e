"""The recurrences read by hooks are the model's own, on every family with state-space blocks."""

import math
from typing import Any

import pytest
import torch
from dynamics_twins import FAMILIES, HYBRIDS, Slow, inputs_and_outputs, module_of, shaken, slow
from torch import Tensor

from repflow.models import Loaded, load
from repflow.studies.dynamics.ssm import BlockMixer, Recurrence, mixers, reading
from repflow.studies.dynamics.ssm.observed import observed
from repflow.studies.dynamics.ssm.recurrence import states

IDS = torch.randint(0, 250, (2, 45), generator=torch.Generator().manual_seed(1))
LENGTHS = (45, 20)
REAL = torch.arange(45) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Loaded:
    torch.set_num_threads(1)
    return shaken(request.param)


def read(subject: Loaded, ids: Tensor) -> dict[str, tuple[BlockMixer, Recurrence]]:
    found: dict[str, tuple[BlockMixer, Recurrence]] = {}

    def take(mixer: BlockMixer, recurrence: Recurrence) -> None:
        assert mixer.module not in found, "once a pass"
        found[mixer.module] = (mixer, recurrence)

    with reading(subject.model, mixers(subject), take):
        subject.forward(ids)
    return found


def twins(subject: Loaded, row: int) -> dict[str, tuple[Slow, Tensor]]:
    """Each mixer the slow way on one example, its padding cut off, and the model's own output."""
    found = mixers(subject)
    passed = inputs_and_outputs(subject, found, IDS[row : row + 1, : LENGTHS[row]])
    kinds = {mixer.module: (module_of(subject, mixer), mixer.kind) for mixer in found}
    return {name: (slow(*kinds[name], given[0]), made[0]) for name, (given, made) in passed.items()}


def hooks(subject: Loaded) -> int:
    """Transformers has some of its own."""
    return sum(len(module._forward_hooks) for module in subject.model.modules())


@torch.no_grad()
def test_transitions_equal_those_from_the_weights_by_hand(subject: Loaded) -> None:
    together = read(subject, IDS)
    assert len(together) == len(mixers(subject)) > 1
    for row, length in enumerate(LENGTHS):
        for name, (twin, _) in twins(subject, row).items():
            mixer, recurrence = together[name]
            mine = torch.exp(-recurrence.dt[row, :length, :, None] * recurrence.decay)
            assert mine.dtype == torch.float32
            assert mine.shape[1:] == (mixer.units, mixer.states)
            assert twin.transitions.std() > 1e-4, "a constant would show nothing"
            torch.testing.assert_close(mine.double(), twin.transitions, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_inputs_and_states_equal_the_plain_loop(subject: Loaded) -> None:
    together = read(subject, IDS)
    for row, length in enumerate(LENGTHS):
        for name, (twin, _) in twins(subject, row).items():
            recurrence = together[name][1]
            norms = recurrence.input_norm()[row, :length].double()
            torch.testing.assert_close(norms, twin.inputs.flatten(2).norm(dim=-1), rtol=1e-4, atol=1e-6)
            alive_and_state = [(bool(alive[row]), state[row].clone()) for alive, state in states(recurrence, REAL)]
            assert [alive for alive, _ in alive_and_state] == [t < length for t in range(45)]
            mine = torch.stack([state for alive, state in alive_and_state if alive])
            scale = float(twin.states.abs().max())
            torch.testing.assert_close(mine.double(), twin.states, rtol=1e-4, atol=1e-5 * scale)


@torch.no_grad()
@pytest.mark.parametrize("peak", [3, 17, 31, 32, 44])
def test_the_largest_state_is_over_every_token(peak: int) -> None:
    """One token's input is far larger than all others; the state forgets it at once."""
    dt, x = torch.ones(1, 45, 2), 0.01 * torch.ones(1, 45, 2, 3)
    x[0, peak] = 5.0
    recurrence = Recurrence(dt, torch.full((2, 1), 4.0), x, torch.ones(1, 45, 1, 4))
    found = observed(recurrence, torch.ones(1, 45, dtype=torch.bool))
    exact = [
        state.flatten(2).norm(dim=-1).clone() for _, state in states(recurrence, torch.ones(1, 45, dtype=torch.bool))
    ]
    assert float(found.state_high.max()) == pytest.approx(5.0 * 12**0.5, rel=1e-3)
    torch.testing.assert_close(found.state_mean, torch.stack(exact).mean((0, 2)).double(), rtol=1e-6, atol=0)
    assert found.looked.tolist() == [90]


@torch.no_grad()
def test_the_plain_loop_is_the_models_own_slow_path(subject: Loaded) -> None:
    for twin, output in twins(subject, 0).values():
        assert output.std() > 0
        torch.testing.assert_close(twin.output, output.double(), rtol=1e-4, atol=2e-5 * float(output.abs().max()))


def test_reading_leaves_the_pass_and_the_model_alone(subject: Loaded) -> None:
    bare = subject.forward(IDS).last_hidden_state
    own = hooks(subject)
    seen: list[str] = []
    with reading(subject.model, mixers(subject), lambda mixer, _: seen.append(mixer.module)):
        assert torch.equal(subject.forward(IDS).last_hidden_state, bare)
    subject.forward(IDS)
    assert seen == [mixer.module for mixer in mixers(subject)], "in the order of the pass, and not once left"

    def fail(*_: Any) -> None:
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"), reading(subject.model, mixers(subject), fail):
        subject.forward(IDS)
    assert hooks(subject) == own


def test_which_blocks_have_a_mixer() -> None:
    blocks = {name: [mixer.block for mixer in mixers(load(f"config:{name},layers=4,width=32"))] for name in HYBRIDS}
    assert blocks["jamba"] == blocks["bamba"] == blocks["nemotron_h"] == [0, 2]
    assert blocks["zamba2"] == blocks["falcon_h1"] == [0, 1, 2, 3]
    assert blocks["recurrent_gemma"] == [0, 1, 3]
    sites = [mixer.site.name for mixer in mixers(load("config:jamba,layers=4,width=32"))]
    assert sites == ["block.0", "block.2"]
    for name in ("gpt2", "gpt_neox", "llama", "rwkv"):
        assert mixers(load(f"config:{name},layers=2,width=32")) == ()


def test_groups_of_heads_have_their_own_keys() -> None:
    subject = shaken("mamba2", n_groups=2)
    with torch.no_grad():
        ((_, recurrence), *_), ((twin, output), *_) = read(subject, IDS).values(), twins(subject, 0).values()
        assert recurrence.key.shape[2] == 2
        norms = twin.inputs.flatten(2).norm(dim=-1)
        torch.testing.assert_close(recurrence.input_norm()[0].double(), norms, rtol=1e-4, atol=1e-6)
        last = list(states(recurrence, REAL))[-1][1][0].double()
        torch.testing.assert_close(last, twin.states[-1], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(twin.output, output.double(), rtol=1e-4, atol=2e-5 * float(output.abs().max()))


def test_time_steps_keep_to_their_limits() -> None:
    subject = shaken("mamba2")
    bare = next(iter(read(subject, IDS).values()))[1].dt
    limits = (float(bare.quantile(0.3)), float(bare.quantile(0.6)))
    for mixer in mixers(subject):
        module_of(subject, mixer).time_step_limit = limits
    limited = next(iter(read(subject, IDS).values()))[1].dt
    assert torch.equal(limited, bare.clamp(*limits))
    assert not torch.equal(limited, bare)


def test_a_model_in_bfloat16_is_read_in_float32() -> None:
    exact, half = shaken("mamba"), shaken("mamba")
    half.model.to(torch.bfloat16)
    a, b = (next(iter(read(subject, IDS).values()))[1] for subject in (exact, half))
    assert all(x.dtype == torch.float32 for x in (b.dt, b.decay, b.x, b.key))
    assert (a.dt.log() - b.dt.log()).abs().max() < 0.1
    assert math.isfinite(float(b.dt.sum()))


@pytest.mark.parametrize(("ablation", "expected"), [("ssm_clamp_a:0", 1.0), ("ssm_clamp_a:-inf", 0.0)])
def test_an_ablated_model_is_read_as_it_runs(ablation: str, expected: float) -> None:
    for family in ("mamba", "mamba2"):
        _, recurrence = next(iter(read(load(f"config:{family},layers=2,width=32@ablate={ablation}"), IDS).values()))
        kept = torch.exp(-recurrence.dt[..., None] * recurrence.decay)
        assert bool((kept == expected).all())
        assert all(bool(state.isfinite().all()) for _, state in states(recurrence, REAL))
    frozen = load("config:mamba2,layers=2,width=32@ablate=ssm_freeze_dt")
    dt = next(iter(read(frozen, IDS).values()))[1].dt
    torch.testing.assert_close(dt, dt[:1, :1].expand_as(dt), rtol=1e-6, atol=0)
