"""Norms and residual stream: the same as a model rebuilt by hand."""

import copy
from collections.abc import Callable

import pytest
import torch
from intervention_tools import logits, named, tokens, trained, typical
from torch import Tensor, nn

from repflow.models import Ablation, Loaded, ablated, possible
from repflow.models.interventions.plan import planned
from repflow.models.recording import recorded

OWN = {
    "gpt2": ("ln_1", "ln_2"),
    "gpt_neox": ("input_layernorm", "post_attention_layernorm"),
    "llama": ("input_layernorm", "post_attention_layernorm"),
    "qwen3": ("input_layernorm", "post_attention_layernorm"),
    "mamba": ("norm",),
    "mamba2": ("norm",),
    "rwkv": ("ln1", "ln2"),
    "jamba": ("input_layernorm", "pre_ff_layernorm"),
    "falcon_h1": ("input_layernorm", "pre_ff_layernorm"),
    "recurrent_gemma": ("temporal_pre_norm", "channel_pre_norm"),
}
"""The norms of a block on the residual stream, by hand."""


@pytest.fixture(scope="module", params=sorted(OWN))
def subject(request: pytest.FixtureRequest) -> Loaded:
    torch.set_num_threads(1)
    return trained(request.param, layers=3)


def by_hand(subject: Loaded, change: Callable[[nn.Module], None], blocks: tuple[int, ...], final: bool) -> Tensor:
    """The logits of a copy whose norms were changed one by one."""
    model = copy.deepcopy(subject.model)
    for number in blocks:
        block = model.get_submodule(subject.taps[1 + number].module)
        for name in OWN[subject.facts.family]:
            change(block.get_submodule(name))
    if final:
        change(model.get_submodule(subject.taps[-1].module))
    with torch.no_grad():
        return model(input_ids=tokens(), use_cache=False).logits


def neutral(norm: nn.Module) -> None:
    """Gemma's norms multiply by 1 + weight."""
    norm.weight.data.fill_(0.0 if "Gemma" in type(norm).__name__ else 1.0)  # type: ignore[union-attr]
    if getattr(norm, "bias", None) is not None:
        norm.bias.data.zero_()  # type: ignore[union-attr]


def gone(norm: nn.Module) -> None:
    norm.forward = lambda hidden_states: hidden_states


@pytest.mark.parametrize(("name", "change"), [("norm_reset", neutral), ("norm_removed", gone)])
@pytest.mark.parametrize(
    ("where", "blocks", "final"), [("", (1, 2), True), (":block.1", (1,), False), (":final", (), True)]
)
def test_norms_changed_one_by_one(
    subject: Loaded, name: str, change: Callable[[nn.Module], None], where: str, blocks: tuple[int, ...], final: bool
) -> None:
    """Block 0 of RWKV has a norm more, so it is left out."""
    where = where or ":block.1-2,final"
    with ablated(subject, [named(name + where)]) as changed:
        said = logits(changed)
    assert torch.equal(said, by_hand(subject, change, blocks, final))
    assert not torch.equal(said, logits(subject))


def test_all_norms_are_all_norms_of_the_stream(subject: Loaded) -> None:
    with ablated(subject, [named("norm_reset")]) as changed:
        count = changed.facts.interventions[0].split()[1]
    extra = 1 if subject.facts.family == "rwkv" else 0
    assert int(count) == 3 * len(OWN[subject.facts.family]) + 1 + extra


def test_a_scale_of_one_changes_no_bit_and_of_zero_hands_on(subject: Loaded) -> None:
    plain = logits(subject)
    with ablated(subject, [named("residual_scaled:1")]) as changed:
        assert torch.equal(logits(changed), plain)
    with ablated(subject, [named("residual_scaled:0")]) as changed:
        calls = recorded(changed.model, [tap.module for tap in changed.taps[1:-1]], lambda: logits(changed))
    first = calls[0].given
    assert first is not None
    assert all(call.made is not None and torch.equal(call.made, first) for call in calls)


@pytest.mark.parametrize(("name", "kept", "factor"), [("residual_scaled:0.25", 1, 0.25), ("residual_cut", 0, 1)])
def test_a_block_hands_on_what_is_left_of_stream_and_update(
    subject: Loaded, name: str, kept: float, factor: float
) -> None:
    names = [tap.module for tap in subject.taps[1:-1]]
    plain = recorded(subject.model, names, lambda: logits(subject))
    where = "," if ":" in name else ":"
    with ablated(subject, [named(f"{name}{where}block.1")]):
        changed = recorded(subject.model, names, lambda: logits(subject))
    given, made = plain[1].given, plain[1].made
    assert given is not None
    assert made is not None
    assert torch.equal(changed[0].made, plain[0].made)  # type: ignore[arg-type]
    wanted = kept * given + factor * (made - given)
    torch.testing.assert_close(changed[1].made, wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(changed[2].given, changed[1].made)  # type: ignore[arg-type]


def test_a_norm_tied_to_other_blocks_changes_in_its_own_only() -> None:
    """Zamba2's transformer blocks share their weights."""
    subject = trained("zamba2", num_mem_blocks=1)
    first, second = (subject.model.base_model.layers[i].shared_transformer.input_layernorm for i in (1, 3))
    tied = first.weight
    assert second.weight is tied
    with ablated(subject, [named("norm_reset:block.1")]):
        assert second.weight is tied
        assert torch.equal(first.weight, torch.ones_like(tied))
        assert not torch.equal(tied, torch.ones_like(tied))
    assert first.weight is tied


@pytest.mark.parametrize("family", ["gpt_neox", "gpt_neo", "falcon_mamba", "falcon_h1"])
def test_half_precision_does_the_same_to_its_rounding(family: str) -> None:
    subject, half = trained(family), trained(family)
    half.model.to(torch.bfloat16)
    plain = logits(half)
    for name in possible(subject):
        with ablated(subject, [typical(name)]), ablated(half, [typical(name)]):
            wanted, found = logits(subject), logits(half)
        assert found.dtype == plain.dtype
        assert not torch.equal(found, plain), name
        assert (found.float() - wanted).norm() < 0.05 * wanted.norm(), name


def test_blocks_are_counted_from_the_end_too(subject: Loaded) -> None:
    last = subject.facts.n_blocks - 1
    for written, same in ((f"{last}", "-1"), ("0", f"-{last + 1}")):
        a, b = (planned(subject, Ablation("residual_cut", f"block.{place}")) for place in (written, same))
        assert a.modules == b.modules
        assert a.places == b.places
