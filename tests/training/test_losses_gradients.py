"""The losses' gradients: finite differences on states and through real models, with and without checkpointing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from losses_kit import FAMILIES, made_up, tiny, token_batch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from repflow.core import ModelProblem
from repflow.training.losses import TokenDiversity, contrastive_tokens, flow_losses, token_diversity, v_glob, v_loc

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "token_diversity": lambda x, real: token_diversity(x[0], real, margin=0.3),
    "contrastive_tokens": lambda x, real: contrastive_tokens(x[0], x[1], real),
    **{f"v_loc {v}": lambda x, real, v=v: v_loc(list(x), real, variant=v) for v in ("rms", "raw", "unit")},
    **{f"v_glob {v}": lambda x, real, v=v: v_glob(list(x), real, variant=v) for v in ("rms", "raw", "unit")},
}
EVERY = {"token_diversity": 1.0, "contrastive_tokens": 0.3, "v_loc": 0.5, "v_glob": 0.7}
TERMS = [TokenDiversity(1.0, margin=-1.0)]
"""A hinge that is never at rest, so that a tiny random model has a gradient."""


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_on_states_are_those_of_finite_differences(name: str) -> None:
    x, real = made_up(width=3)
    states = x.masked_fill(~real[..., None], 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, real), (states,))
    (gradient,) = torch.autograd.grad(LOSSES[name](states, real), states)
    assert gradient[0].abs().sum() > 0
    assert torch.equal(gradient[:, ~real], torch.zeros_like(gradient[:, ~real]))


@pytest.mark.parametrize("name", LOSSES)
def test_what_stands_at_padding_changes_nothing(name: str) -> None:
    x, real = made_up()

    def found(garbage: float) -> tuple[Tensor, Tensor]:
        states = x.masked_fill(~real[..., None], garbage).requires_grad_()
        loss = LOSSES[name](states, real)
        return loss, torch.autograd.grad(loss, states)[0]

    for garbage in (float("nan"), float("inf"), -1e30):
        assert all(torch.equal(a, b) for a, b in zip(found(garbage), found(0.0), strict=True))


def _total(model: nn.Module, batch: dict[str, Tensor], losses: Any) -> Tensor:
    with flow_losses(model, losses) as extra:
        return model(**batch).loss + extra.loss()


@pytest.mark.parametrize(
    ("family", "step", "relative", "absolute"),
    # Mamba computes its scan and its norms in float32 whatever the weights are.
    [("pythia", 1e-4, 1e-5, 1e-9), ("mamba", 3e-3, 1e-3, 2e-6)],
)
@pytest.mark.parametrize("name", EVERY)
def test_gradients_through_a_model_are_those_of_central_differences(
    family: str, step: float, relative: float, absolute: float, name: str
) -> None:
    model, batch = tiny(family).double(), token_batch()
    losses = TERMS if name == "token_diversity" else {name: 1.0}
    parameters = list(model.parameters())
    plain = torch.autograd.grad(model(**batch).loss, parameters)
    total = torch.autograd.grad(_total(model, batch, losses), parameters)
    moved = [(p, b - a) for p, a, b in zip(parameters, plain, total, strict=True) if not torch.equal(a, b)]
    assert len(moved) > 25
    assert max(float(gradient.abs().max()) for _, gradient in moved) > 100 * absolute
    draw = torch.Generator().manual_seed(0)
    for parameter, gradient in moved:
        size = parameter.detach().abs().mean().clamp(min=0.01)
        direction = size * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
        ends = [_extra_after(model, batch, losses, parameter, sign * step * direction) for sign in (1, -1)]
        difference = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), difference, rtol=relative, atol=absolute)


def _extra_after(
    model: nn.Module, batch: dict[str, Tensor], losses: Any, parameter: nn.Parameter, change: Tensor
) -> Tensor:
    """The extra loss with one parameter changed; it is put back."""
    before = parameter.detach().clone()
    with torch.no_grad(), flow_losses(model, losses) as extra:
        parameter += change
        model(**batch)
        loss = extra.loss()
        parameter.copy_(before)
    return loss


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_neither_the_loss_nor_the_gradients(family: str, reentrant: bool) -> None:
    batch = token_batch()
    plain, checkpointed = tiny(family), tiny(family)
    checkpointed.activation_checkpointing_enable({"use_reentrant": reentrant})
    calls = _counted_calls(checkpointed)
    for model in (plain, checkpointed):
        model.train()
        loss = _total(model, batch, {**EVERY, "token_diversity": 0.0})
        loss.backward()
    assert len(calls) == 2, "the block ran again in the backward pass"
    for a, b in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


def _counted_calls(model: nn.Module) -> list[int]:
    """Grows whenever the first block computes."""
    calls: list[int] = []
    block = next(m for m in model.modules() if isinstance(m, nn.ModuleList))[0]
    inside = next(iter(block.children()))
    inside.register_forward_hook(lambda *_: calls.append(1))
    return calls


class Blocks(nn.Module):
    """Three residual blocks, each called by `call`, or the whole stack checkpointed by a caller."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Tensor] = lambda block, x: block(x)) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3))
        self.norm = nn.LayerNorm(4)
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.call(layer, x)
        return self.norm(x)


def _blocks_gradient(model: Blocks, run: Callable[[Tensor], Tensor]) -> list[Tensor]:
    states = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    with flow_losses(model, {**EVERY, "token_diversity": 0.0}) as extra:
        out = run(states)
        loss = out.square().mean() + extra.loss()
        loss.backward()
    return [parameter.grad for parameter in model.layers.parameters()]


@pytest.mark.parametrize("whole", [False, True])
def test_torchs_own_checkpointing_around_blocks_or_the_model_gives_the_same_gradients(whole: bool) -> None:
    def again(module: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(module, x, use_reentrant=False)

    plain = Blocks()
    model = Blocks() if whole else Blocks(again)
    found = _blocks_gradient(model, lambda x: again(model, x) if whole else model(x))
    for a, b in zip(found, _blocks_gradient(plain, plain), strict=True):
        torch.testing.assert_close(a, b)


def test_a_block_that_runs_again_for_an_earlier_pass_is_not_taken_for_the_latest() -> None:
    model = Blocks(lambda block, x: checkpoint(block, x, use_reentrant=False))
    first, second = torch.randn(2, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    with flow_losses(model, {"v_loc": 1.0}) as extra:
        model(second)
        expected = extra.loss().detach()
        earlier = model(first).sum()
        model(second)
        earlier.backward()
        assert torch.equal(extra.loss().detach(), expected)


def test_states_hidden_from_autograd_by_a_reentrant_checkpoint_are_refused() -> None:
    model = Blocks(lambda block, x: checkpoint(block, x, use_reentrant=True))
    states = torch.randn(2, 5, 4, requires_grad=True)
    with flow_losses(model, EVERY), pytest.raises(ModelProblem, match=r"embed.*use_reentrant=False"):
        model(states)


def test_the_losses_keep_no_states_of_their_own_for_the_backward_pass() -> None:
    states = torch.randn(2, 64, 8, dtype=torch.bfloat16, requires_grad=True)
    kept: list[Tensor] = []
    real = torch.ones(2, 64, dtype=torch.bool)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        token_diversity(states, real)
        contrastive_tokens(states, states, real)
        v_loc([states, states], real)
    assert all(t.numel() <= 128 or t.data_ptr() == states.data_ptr() for t in kept)
