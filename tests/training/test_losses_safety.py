"""Degenerate states, narrow types, autocasting: finite values and gradients, or a clear error of the caller."""

from collections.abc import Callable

import pytest
import torch
from losses_kit import FAMILIES, made_up, tiny, token_batch
from torch import Tensor

from repflow.core import BadSetting, CallerError, UnknownName
from repflow.training.losses import (
    ContrastiveTokens,
    TokenDiversity,
    VGlob,
    VLoc,
    contrastive_tokens,
    flow_losses,
    token_diversity,
    v_glob,
    v_loc,
)

LOSSES: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "token_diversity": lambda x, real: token_diversity(x[0], real, margin=-1.0),
    "contrastive_tokens": lambda x, real: contrastive_tokens(x[0], x[1], real),
    **{f"v_loc {v}": lambda x, real, v=v: v_loc(list(x), real, variant=v) for v in ("rms", "raw", "unit")},
    **{f"v_glob {v}": lambda x, real, v=v: v_glob(list(x), real, variant=v) for v in ("rms", "raw", "unit")},
}
every_loss = pytest.mark.parametrize("name", LOSSES)
TINY = torch.finfo(torch.float32).tiny
DEGENERATE = {
    "zero everywhere": torch.zeros(3, 2, 5, 4),
    "constant": torch.ones(3, 2, 5, 4),
    "one token zero": torch.randn(3, 2, 5, 4).index_fill(2, torch.tensor([1]), 0.0),
    "one site zero": torch.randn(3, 2, 5, 4).index_fill(0, torch.tensor([1]), 0.0),
    "one token": torch.randn(3, 2, 1, 4),
    "vanishing": torch.full((3, 2, 5, 4), TINY),
    "huge": 1e15 * torch.randn(3, 2, 5, 4),
    "one sequence of padding": torch.randn(3, 2, 5, 4),
    "nothing but padding": torch.randn(3, 2, 5, 4),
}


def _real(case: str, states: Tensor) -> Tensor:
    real = torch.ones(states.shape[1:3], dtype=torch.bool)
    real[:1] = "padding" not in case
    real[1:] = "nothing" not in case
    return real


@every_loss
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_states_give_finite_values_and_gradients(name: str, case: str) -> None:
    states = DEGENERATE[case].clone().requires_grad_()
    loss = LOSSES[name](states, _real(case, states))
    (gradient,) = torch.autograd.grad(loss, states)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_what_no_sequence_defines_costs_nothing() -> None:
    zero, alone = DEGENERATE["zero everywhere"], DEGENERATE["one token"]
    assert all(float(loss(zero, None)) == 0.0 for loss in LOSSES.values())
    assert float(LOSSES["token_diversity"](alone, None)) == float(LOSSES["contrastive_tokens"](alone, None)) == 0.0


@every_loss
def test_tokens_and_sequences_without_a_value_are_left_out_of_the_mean(name: str) -> None:
    x, real = made_up(lengths=(6, 6))
    expected = LOSSES[name](x[:, :1, 1:], None)
    x[:, 0, 0] = 0.0
    x[:, 1] = 0.0
    if "raw" in name:  # a state of zero is as good as any there
        real[1], real[0, 0] = False, False
    torch.testing.assert_close(LOSSES[name](x, real), expected)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_states_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    narrow = made_up()[0].to(dtype).masked_fill(~made_up()[1][..., None], 0.0).requires_grad_()
    wide = narrow.detach().float().requires_grad_()
    real = made_up()[1]
    loss, expected = LOSSES[name](narrow, real), LOSSES[name](wide, real)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.0, atol=0.0)
    gradient, exact = torch.autograd.grad(loss, narrow)[0], torch.autograd.grad(expected, wide)[0]
    # autograd adds up the sites' shares of a state's gradient in the state's own type
    torch.testing.assert_close(gradient.float(), exact, rtol=0.0, atol=4 * torch.finfo(dtype).eps * float(exact.max()))


@every_loss
def test_autocasting_does_not_reach_into_the_losses(name: str) -> None:
    states, real = made_up()[0].float().requires_grad_(), made_up()[1]
    expected = LOSSES[name](states, real)
    gradient = torch.autograd.grad(expected, states)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name](states, real)
    assert torch.equal(loss, expected)
    assert torch.equal(torch.autograd.grad(loss, states)[0], gradient)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_under_autocast_trains_with_finite_float32_losses(family: str) -> None:
    model = tiny(family)
    losses = {"contrastive_tokens": 1.0, "v_loc": 1.0}
    with torch.autocast("cpu", dtype=torch.bfloat16), flow_losses(model, losses) as extra:
        loss = model(**token_batch()).loss + extra.loss()
    loss.backward()
    assert {value.dtype for value in extra.values.values()} == {torch.float32}
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TokenDiversity(-0.1), r"weight of token_diversity.*0 or more, got -0\.1"),
        (lambda: VLoc(float("nan")), "weight of v_loc"),
        (lambda: VGlob("0.1"), "weight of v_glob.*'0.1'"),
        (lambda: TokenDiversity(0.1, margin=1.0), r"margin.*\[-1, 1\), got 1\.0"),
        (lambda: ContrastiveTokens(0.1, temperature=0.0), r"temperature.*above 0, got 0\.0"),
        (lambda: VLoc(0.1, variant="log"), "unknown path variant 'log'.*raw, rms, unit"),
        (lambda: v_glob([torch.zeros(1, 2, 3)] * 2, variant="log"), "unknown path variant"),
        (lambda: v_loc([torch.zeros(1, 2, 3)]), r"two sites or more.*\[1, 2, 3\]"),
        (lambda: v_loc([torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)]), r"one shape, got \[1, 2, 3\], \[1, 2, 4\]"),
        (lambda: token_diversity(torch.zeros(2, 3, 4), torch.ones(2, 4, dtype=torch.bool)), r"\[2, 3\].*got \[2, 4\]"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_given(make: Callable[[], object], says: str) -> None:
    with pytest.raises((BadSetting, UnknownName), match=says) as caught:
        make()
    assert isinstance(caught.value, CallerError)
    assert "\n" not in str(caught.value)
