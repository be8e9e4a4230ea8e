"""The compiled loops: equal to transformers' own in value and gradient, and gone when the model is done."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.bamba import modeling_bamba
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2

from repflow.models import compiled, load
from repflow.models.compiled import compiled_scans

pytest.importorskip("numba")

SHAPES = [(2, 7, 4, 8, 1, 16, 64), (1, 64, 4, 64, 1, 64, 64), (2, 130, 4, 16, 2, 8, 32), (1, 97, 6, 5, 3, 3, 16)]
"""Batch, length, heads, width, groups, states, chunk: shorter than one, exactly one, many with a rest."""


MODULES = (modeling_mamba, modeling_mamba2, modeling_bamba)


def gradients(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    return list(torch.autograd.grad((out * weight).sum(), inputs))


def apart(mine: Tensor, exact: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    largest = exact.detach().abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return float((mine.detach() - exact.detach()).abs().max() / largest)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chunked_scan_is_the_classes_own(shape: tuple[int, ...]) -> None:
    n, length, heads, width, groups, states, size = shape
    draw = torch.Generator().manual_seed(0)

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=draw).requires_grad_()

    x, b, c = drawn(n, length, heads, width), drawn(n, length, groups, states), drawn(n, length, groups, states)
    dt, bias, d = drawn(n, length, heads), drawn(heads), drawn(heads)
    a = (-torch.arange(1.0, heads + 1)).requires_grad_()
    inputs = [x, dt, a, b, c, d, bias]
    own = modeling_mamba2.mamba2_chunk_scan
    options: dict[str, Any] = {"D": d, "dt_bias": bias, "dt_softplus": True}
    exact = own(x, dt, a, b, c, size, **options)
    mine = compiled._chunk_scan(own)(x, dt, a, b, c, size, **options)
    assert apart(mine, exact) < 1e-5
    for found, wanted in zip(gradients(mine, inputs), gradients(exact, inputs), strict=True):
        assert apart(found, wanted) < 1e-5 * (length if wanted.ndim == 1 else 1)


@pytest.mark.parametrize("shape", [(1, 1, 3, 4), (2, 32, 8, 16), (2, 70, 5, 7)])
@pytest.mark.parametrize("gated", [True, False])
def test_the_selective_scan_is_the_classes_own(shape: tuple[int, ...], gated: bool) -> None:
    """Batch, length, channels, states: one token, a whole block, several with a rest."""
    n, length, channels, states = shape
    draw = torch.Generator().manual_seed(0)

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=draw).requires_grad_()

    x, dt, b, c = (drawn(n, size, length) for size in (channels, channels, states, states))
    d, bias, z = drawn(channels), drawn(channels), drawn(n, channels, length)
    a = (-torch.logspace(-3, 2, channels * states).view(channels, states)).requires_grad_()
    inputs = [x, dt, a, b, c, d, bias, *([z] if gated else [])]
    own = modeling_mamba.mamba_selective_scan
    options: dict[str, Any] = {"D": d, "delta_bias": bias, "delta_softplus": True, "z": z if gated else None}
    exact = own(x, dt, a, b, c, **options)
    mine = compiled._selective_scan(own)(x, dt, a, b, c, **options)
    assert apart(mine, exact) < 1e-5
    for found, wanted in zip(gradients(mine, inputs), gradients(exact, inputs), strict=True):
        assert apart(found, wanted) < 1e-5


def test_what_is_not_a_number_stays_so_and_what_fades_is_gone() -> None:
    own = modeling_mamba.mamba_selective_scan
    x, dt, b, c = (torch.ones(1, size, 40) for size in (2, 2, 3, 3))
    dt[0, 0, 5] = torch.nan
    dt[0, 1, 20] = 1e6
    mine = compiled._selective_scan(own)(x, dt, -torch.ones(2, 3), b, c, D=torch.ones(2), delta_softplus=True)
    exact = own(x, dt, -torch.ones(2, 3), b, c, D=torch.ones(2), delta_softplus=True)
    assert torch.equal(mine.isnan(), exact.isnan())
    assert int(mine.isnan().sum()) == 35
    assert torch.allclose(mine, exact, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("length", [1, 3, 50])
@pytest.mark.parametrize("biased", [True, False])
def test_the_convolution_is_the_classes_own(length: int, biased: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 12, length, generator=draw).requires_grad_()
    weight = torch.randn(12, 4, generator=draw).requires_grad_()
    bias = torch.randn(12, generator=draw).requires_grad_() if biased else None
    inputs = [tensor for tensor in (x, weight, bias) if tensor is not None]
    own = modeling_mamba2.causal_conv1d_fn
    exact, mine = (
        own(x, weight, bias, activation="silu"),
        compiled._convolution(own)(x, weight, bias, activation="silu"),
    )
    assert apart(mine, exact) < 1e-5
    for found, wanted in zip(gradients(mine, inputs), gradients(exact, inputs), strict=True):
        assert apart(found, wanted) < 1e-5


@pytest.mark.parametrize(
    ("family", "exchanged"),
    [("mamba2", ("causal_conv1d_fn", "mamba2_chunk_scan")), ("bamba", ("causal_conv1d_fn", "mamba2_chunk_scan")),
     ("mamba", ("causal_conv1d_fn", "mamba_selective_scan")), ("llama", ())],
)  # fmt: skip
def test_a_model_says_the_same_inside_and_its_class_is_as_before(family: str, exchanged: tuple[str, ...]) -> None:
    model = load(f"config:{family},width=32").model
    ids = torch.randint(0, 250, (2, 45), generator=torch.Generator().manual_seed(0))
    before = [vars(module).copy() for module in MODULES]
    plain = model(input_ids=ids).logits
    with compiled_scans(model) as names:
        fast = model(input_ids=ids, use_cache=False).logits
    assert names == exchanged
    assert torch.allclose(plain, fast, atol=1e-5)
    assert [vars(module) for module in MODULES] == before
    assert torch.equal(plain, fast) is not bool(exchanged), "it was another way"


def test_with_a_cache_the_class_goes_its_own_way() -> None:
    """A prompt that is to be gone on with needs the last state."""
    model = load("config:mamba2,width=32").model
    ids = torch.randint(0, 250, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(input_ids=ids, use_cache=False).logits[:, -1]
        with compiled_scans(model):
            begun = model(input_ids=ids[:, :19], use_cache=True)
            last = model(input_ids=ids[:, 19:], cache_params=begun.cache_params, use_cache=True).logits[:, -1]
    assert torch.allclose(whole, last, atol=1e-4)


def test_without_numba_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: False)
    with compiled_scans(load("config:mamba2,width=32").model) as names:
        assert names == ()


def test_double_precision_goes_the_classes_own_way() -> None:
    x = torch.randn(1, 3, 9, dtype=torch.float64)
    weight = torch.randn(3, 4, dtype=torch.float64)
    own = modeling_mamba2.causal_conv1d_fn
    assert torch.equal(compiled._convolution(own)(x, weight), own(x, weight))
    assert F.silu(own(x, weight)).dtype == torch.float64
