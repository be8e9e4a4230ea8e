"""State-space interventions against mixers written as plain loops over tokens."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from intervention_tools import logits, named, readers, tokens, trained
from torch import Tensor, nn

from repflow.models import Loaded, ablated, load
from repflow.models.interventions.parts import mixers, per_channel
from repflow.models.interventions.ssm import _OPEN

FAMILIES = (
    "mamba",
    "falcon_mamba",
    "jamba",
    "mamba2",
    "bamba",
    "zamba2",
    "falcon_h1",
    "normed falcon_h1",
    "nemotron_h",
)

SCALED = {"ssm_multipliers": [0.5, 0.7, 1.3, 0.8, 1.2], "ssm_in_multiplier": 1.5}
"""Falcon-H1 multiplies the parts of the projection; its gated norm is a choice."""


@dataclass
class Changes:
    """What the loop below does otherwise."""

    freeze: bool = False
    conv: bool = True
    gate: bool = True
    a: float | None = None
    share: float = 1.0


CASES = {
    "ssm_freeze_dt": Changes(freeze=True),
    "ssm_no_conv": Changes(conv=False),
    "ssm_no_gate": Changes(gate=False),
    "ssm_clamp_a:0": Changes(a=0.0),
    "ssm_clamp_a:-inf": Changes(a=-math.inf),
    "ssm_clamp_a:-inf:0.3": Changes(a=-math.inf, share=0.3),
    "ssm_clamp_a:0:0.3": Changes(a=0.0, share=0.3),
}


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Loaded:
    """Mixers in which dt, the gate, the convolution and the state all matter."""
    torch.set_num_threads(1)
    normed, _, family = request.param.rpartition(" ")
    scaled = SCALED | {"mamba_rms_norm": bool(normed)} if family == "falcon_h1" else {}
    subject = trained(family, **scaled)
    with torch.no_grad():
        for mixer in mixers(subject.model):
            mixer.get_parameter("dt_proj.bias" if per_channel(mixer) else "dt_bias").fill_(-1.0)
            mixer.get_parameter("A_log").sub_(1.5)
            mixer.get_parameter("D").mul_(0.2)
            for name in ("in_proj.weight", "x_proj.weight") if per_channel(mixer) else ("in_proj.weight",):
                mixer.get_parameter(name).mul_(3)
    return subject


def first_mixer(subject: Loaded) -> nn.Module:
    return mixers(subject.model.get_submodule(subject.taps[1].module))[0]


def convolved(m: Any, x: Tensor, changes: Changes) -> Tensor:
    """Depthwise causal convolution [tokens, channels], tap by tap, then SiLU."""
    kernel, bias = m.conv1d.weight[:, 0], m.conv1d.bias
    taps = kernel.shape[1]
    padded = torch.cat([x.new_zeros(taps - 1, x.shape[1]), x])
    out = sum(padded[k : k + len(x)] * kernel[:, k] for k in range(taps)) + (0 if bias is None else bias)
    return F.silu(out if changes.conv else x)


def clamped(A: Tensor, changes: Changes) -> Tensor:
    A = A.clone()
    if changes.a is not None:
        A[: max(1, math.floor(changes.share * len(A) + 0.5))] = changes.a
    return A


def scanned(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """y_t = C_t h_t + D x_t with h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t; x [t, channels], A [channels, states]."""
    h, out = torch.zeros_like(A), []
    for t in range(len(x)):
        h = torch.exp(dt[t][:, None] * A) * h + (dt[t] * x[t])[:, None] * B[t]
        out.append((h * C[t]).sum(-1) + D * x[t])
    return torch.stack(out)


def mamba(m: Any, u: Tensor, changes: Changes) -> Tensor:
    x, z = (u @ m.in_proj.weight.T).chunk(2, -1)
    x = convolved(m, x, changes)
    dt, B, C = (x @ m.x_proj.weight.T).split([m.time_step_rank, m.ssm_state_size, m.ssm_state_size], -1)
    if hasattr(m, "dt_layernorm"):
        dt, B, C = m.dt_layernorm(dt), m.b_layernorm(B), m.c_layernorm(C)
    dt = F.softplus((0 if changes.freeze else dt @ m.dt_proj.weight.T) + m.dt_proj.bias).expand(len(x), -1)
    y = scanned(x, dt, clamped(-m.A_log.exp(), changes), B[:, None], C[:, None], m.D)
    return (y * F.silu(z) if changes.gate else y) @ m.out_proj.weight.T


def mamba2(m: Any, u: Tensor, changes: Changes) -> Tensor:
    """One group. Every head's channels share its dt, A and D."""
    multipliers = getattr(m, "mup_vector", torch.ones(1))
    projected = (
        F.linear(u * getattr(m, "ssm_in_multiplier", 1.0), m.in_proj.weight, m.in_proj.bias) * multipliers.flatten()
    )
    inner, states, heads = m.intermediate_size, m.ssm_state_size, m.num_heads
    z, xbc, dt = projected.split([inner, inner + 2 * states, heads], -1)
    x, B, C = convolved(m, xbc, changes).split([inner, states, states], -1)
    dt = F.softplus((0 if changes.freeze else dt) + m.dt_bias).expand(len(x), -1).clamp(*m.time_step_limit)
    A = clamped(-m.A_log.exp(), changes)
    wide = [v.repeat_interleave(m.head_dim, -1) for v in (dt, A, m.D)]
    y = scanned(x, wide[0], wide[1][:, None].expand(-1, states), B[:, None], C[:, None], wide[2])
    if isinstance(m.norm, nn.Identity):
        y = y * F.silu(z) if changes.gate else y
    else:
        y = m.norm(y, z if changes.gate else None)
    return F.linear(y, m.out_proj.weight, m.out_proj.bias)


def called(mixer: nn.Module, run: Callable[[], object]) -> tuple[Tensor, Tensor]:
    """What the mixer was given and made, of the first example."""
    kept: list[tuple[Tensor, Tensor]] = []

    def keep(_m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        kept.append((kwargs["hidden_states"] if "hidden_states" in kwargs else args[0], output))

    handle = mixer.register_forward_hook(keep, with_kwargs=True)
    run()
    handle.remove()
    return kept[0][0][0], kept[0][1][0]


@torch.no_grad()
@pytest.mark.parametrize("text", ["", *CASES])
def test_the_mixer_does_what_the_loop_does(subject: Loaded, text: str) -> None:
    mixer = first_mixer(subject)
    loop = mamba if per_channel(mixer) else mamba2
    plain = called(mixer, lambda: logits(subject))
    wanted = loop(mixer, plain[0], CASES.get(text, Changes()))
    with ablated(subject, [named(text)] if text else []):
        given, made = called(mixer, lambda: logits(subject))
    assert torch.equal(given, plain[0])
    torch.testing.assert_close(made, wanted, rtol=2e-3, atol=2e-5)
    assert not text or (made - plain[1]).norm() > 0.03 * plain[1].norm(), "it does something"


def test_without_memory_and_convolution_each_token_is_alone(subject: Loaded) -> None:
    parts = ["ssm_clamp_a:-inf", "ssm_no_conv"]
    if subject.facts.kind == "hybrid":
        parts.append("attention_self")
    assert readers(subject, 5) != [5]
    with ablated(subject, [named(part) for part in parts]):
        assert readers(subject, 5) == [5]


def test_a_long_sequence_keeps_the_sums_finite(subject: Loaded) -> None:
    with ablated(subject, [named("ssm_clamp_a:-inf")]) as changed:
        assert logits(changed, tokens(300, 1)).isfinite().all()


@pytest.mark.parametrize(("share", "channels"), [("0.07", 7), ("0.55", 55), ("0.001", 1), ("1", 100)])
def test_a_share_is_of_whole_channels(share: str, channels: int) -> None:
    subject = load("config:mamba,layers=1,width=50")
    (mixer,) = mixers(subject.model)
    with ablated(subject, [named(f"ssm_clamp_a:0:{share}")]):
        cleared = mixer.get_parameter("A_log").isinf().all(1)
    assert cleared.tolist() == [i < channels for i in range(100)]


def test_the_open_gate_is_one() -> None:
    assert abs(F.silu(torch.tensor(_OPEN, dtype=torch.float64)).item() - 1) < 1e-15
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert abs(F.silu(torch.tensor(_OPEN, dtype=dtype)).item() - 1) <= torch.finfo(dtype).eps
