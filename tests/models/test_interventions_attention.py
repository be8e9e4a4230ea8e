"""A window is exact, uniform is uniform, alone is alone; with a cache as without, whatever implementation runs."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from intervention_tools import logits, named, readers, tokens, trained
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from repflow.models import Loaded, ablated
from repflow.models.finding import stacks
from repflow.models.interventions.parts import attentions

ATTENDING = ("gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")
W = 4


@pytest.fixture(scope="module", params=ATTENDING)
def one_block(request: pytest.FixtureRequest) -> Loaded:
    torch.set_num_threads(1)
    return trained(request.param, layers=1)


def test_a_window_ends_where_it_says(one_block: Loaded) -> None:
    """A token is read by itself and the W - 1 after it, in one block; without the intervention by all after it."""
    assert readers(one_block, 5) == list(range(5, 24))
    with ablated(one_block, [named(f"attention_window:{W}")]):
        assert readers(one_block, 5) == list(range(5, 5 + W))
    with ablated(one_block, [named("attention_window:1")]):
        assert readers(one_block, 5) == [5]
    with ablated(one_block, [named("attention_self")]):
        assert readers(one_block, 5) == [5]


def test_a_window_over_everything_changes_nothing(one_block: Loaded) -> None:
    with ablated(one_block, [named("attention_window:24")]) as changed:
        torch.testing.assert_close(logits(changed), logits(one_block), rtol=1e-5, atol=1e-5)


def test_windows_add_up_over_blocks() -> None:
    subject = trained("gpt_neox", layers=3)
    with ablated(subject, [named(f"attention_window:{W}")]):
        assert readers(subject, 5) == list(range(5, 5 + 3 * (W - 1) + 1))
    with ablated(subject, [named(f"attention_window:{W},block.1"), named("attention_self:block.0,block.2")]):
        assert readers(subject, 5) == list(range(5, 5 + W))


@pytest.mark.parametrize(
    ("family", "own", "implementation"),
    [
        ("mistral", {"sliding_window": 3}, "sdpa"),
        ("mistral", {"sliding_window": 3}, "eager"),
        ("gpt_neo", {"window_size": 3}, "eager"),
    ],
)
def test_a_window_of_the_models_own_stays(family: str, own: dict[str, object], implementation: str) -> None:
    """GPT-Neo's second block is local, so the first is cut to each token alone."""
    subject = trained(family, layers=2, **own)
    subject.model.config._attn_implementation = implementation
    with ablated(subject, [named("attention_self:block.0"), named("attention_window:10,block.1")]):
        assert readers(subject, 5) == [5, 6, 7]
    with ablated(subject, [named("attention_self:block.0"), named("attention_window:2,block.1")]):
        assert readers(subject, 5) == [5, 6]


def weights(subject: Loaded, ids: Tensor) -> list[Tensor]:
    """The attention weights [batch, heads, queries, keys] of each block, by eager attention."""
    kept: list[Tensor] = []
    blocks = next(iter(stacks(subject.model).values()))
    modules = [module for block in blocks for module in attentions(block)]
    handles = [m.register_forward_hook(lambda _m, _a, output: kept.append(output[1])) for m in modules]
    used, subject.model.config._attn_implementation = subject.model.config._attn_implementation, "eager"
    logits(subject, ids)
    subject.model.config._attn_implementation = used
    for handle in handles:
        handle.remove()
    return kept


@pytest.mark.parametrize("family", [*ATTENDING, "jamba", "falcon_h1", "zamba2", "recurrent_gemma"])
def test_uniform_weights_are_one_over_the_keys(family: str) -> None:
    subject, ids = trained(family), tokens(9)
    wanted = torch.ones(9, 9).tril() / torch.arange(1, 10)[:, None]
    assert all((found - wanted).abs().max() > 0.05 for found in weights(subject, ids))
    with ablated(subject, [named("attention_uniform")]) as changed:
        found = weights(changed, ids)
        assert found
        for there in found:
            torch.testing.assert_close(there, wanted.expand_as(there))
        eager, implementation = logits(changed), subject.model.config._attn_implementation
        subject.model.config._attn_implementation = "eager"
        torch.testing.assert_close(logits(changed), eager, rtol=1e-4, atol=1e-4)
        subject.model.config._attn_implementation = implementation


@pytest.mark.parametrize(
    ("family", "own"),
    [
        ("gpt_neox", {}),
        ("gpt_neo", {}),
        ("gpt2", {}),
        ("mistral", {"sliding_window": 5}),
        ("llama", {}),
        ("jamba", {}),
        ("bamba", {}),
        ("zamba2", {"num_mem_blocks": 1, "time_step_min": 1e-9}),
        ("falcon_h1", {}),
        ("nemotron_h", {}),
        ("recurrent_gemma", {}),
    ],
)
@pytest.mark.parametrize("what", ["attention_window:3", "attention_uniform", "attention_self"])
def test_a_cache_sees_what_the_whole_sequence_sees(family: str, own: dict[str, object], what: str) -> None:
    """Zamba2's cached step leaves out the lower limit of dt, so its limit is put out of reach."""
    subject = trained(family, **own)
    with ablated(subject, [named(what)]) as changed:
        cached, ids = generated(changed)
        whole = logits(changed, ids)[:, -1 - cached.shape[1] : -1]
    torch.testing.assert_close(cached, whole, rtol=1e-4, atol=1e-4)
    assert (whole - logits(subject, ids)[:, -1 - cached.shape[1] : -1]).norm() > 1e-2 * whole.norm()


@torch.no_grad()
def generated(subject: Loaded) -> tuple[Tensor, Tensor]:
    """The logits of 8 tokens decoded with the cache after a prompt of 5, and the whole sequence."""
    ids, options = tokens(5), {"return_dict_in_generate": True, "output_logits": True, "pad_token_id": 0}
    said = subject.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=8,
        max_new_tokens=8,
        **options,
    )
    return torch.stack(said.logits, 1), said.sequences


@pytest.fixture
def maskless() -> Iterator[str]:
    """An attention implementation of transformers that ignores masks."""
    name, sdpa = "maskless", ALL_ATTENTION_FUNCTIONS["sdpa"]
    assert name not in ALL_ATTENTION_FUNCTIONS

    def attend(module: Any, q: Tensor, k: Tensor, v: Tensor, attention_mask: object, **options: Any) -> Any:
        del attention_mask
        return sdpa(module, q, k, v, None, **options)

    ALL_ATTENTION_FUNCTIONS.register(name, attend)
    yield name
    type(ALL_ATTENTION_FUNCTIONS)._global_mapping.pop(name)


def test_an_implementation_without_masks_falls_back_and_says_so(maskless: str) -> None:
    subject = trained("llama", layers=1)
    plain = subject.model.config._attn_implementation
    subject.model.config._attn_implementation = maskless
    note = "maskless attention takes no mask of its own, eager attention is used"
    with ablated(subject, [named(f"attention_window:{W}")]) as changed:
        assert readers(subject, 5) == list(range(5, 5 + W))
        assert changed.facts.interventions == (f"attention_window:{W}: 1 attention module (block.0); {note}",)
        assert changed.facts.warnings == (*subject.facts.warnings, note)
    assert subject.model.config._attn_implementation == maskless
    subject.model.config._attn_implementation = plain
