"""The architectures: alike in size, different in how they mix tokens, loadable like any model."""

from pathlib import Path
from typing import Any

import pytest
import torch

from repflow.core import UnknownName, sites_for
from repflow.models import load
from repflow.training.zoo.recipes import BLOCKS, POSITIONS, RECIPES, VOCABULARY, WIDTH, first_weights, recipe

FAMILIES = {
    "pythia-tiny": "gpt_neox",
    "llama-tiny": "llama",
    "gpt-neo-tiny": "gpt_neo",
    "mamba-tiny": "mamba",
    "mamba2-tiny": "mamba2",
    "hybrid-tiny": "bamba",
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def built(name: str) -> Any:
    return first_weights(recipe(name).config(), seed=0)


def test_they_are_of_one_size() -> None:
    parameters = {name: sum(p.numel() for p in built(name).parameters()) for name in RECIPES}
    assert parameters.keys() == FAMILIES.keys()
    assert max(parameters.values()) <= 1.07 * min(parameters.values()), parameters


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_one_loads_with_all_its_sites(name: str, zoo_tokenizer: Any, tmp_path: Path) -> None:
    model = built(name)
    model.save_pretrained(tmp_path)
    zoo_tokenizer.save_pretrained(tmp_path)
    subject = load(str(tmp_path))
    assert tuple(tap.site for tap in subject.taps) == sites_for(BLOCKS)
    assert (subject.facts.family, subject.facts.n_blocks, subject.facts.width) == (FAMILIES[name], 12, 128)
    assert subject.facts.max_positions in (None, POSITIONS)
    assert subject.facts.warnings == ()
    assert subject.model.get_input_embeddings().weight.shape == (VOCABULARY, WIDTH)
    assert subject.model.get_output_embeddings().weight is subject.model.get_input_embeddings().weight
    # Long enough for a local window and several chunks of a scan.
    ids = torch.randint(0, VOCABULARY, (1, 300), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(subject.model(input_ids=ids).logits, model.eval()(input_ids=ids).logits)


def test_the_hybrid_has_state_spaces_first_and_attention_last() -> None:
    blocks = built("hybrid-tiny").model.layers
    assert [hasattr(block, "mamba") for block in blocks] == [True] * 8 + [False] * 4
    assert [hasattr(block, "self_attn") for block in blocks] == [False] * 8 + [True] * 4


def test_gpt_neo_attends_globally_and_locally_in_turn() -> None:
    kinds = [block.attn.attention_type for block in built("gpt-neo-tiny").transformer.h]
    assert kinds == ["global", "local"] * 6


def test_a_local_block_does_not_see_beyond_its_window() -> None:
    """The card says 256 tokens."""
    model = built("gpt-neo-tiny").eval()
    attention = model.transformer.h[1].attn
    states = torch.randn(1, 300, WIDTH, generator=torch.Generator().manual_seed(0))
    for width, sees in ((255, True), (256, False)):
        changed = states.clone()
        changed[0, 299 - width] += 1
        with torch.no_grad():
            last = [attention(x)[0][0, 299] for x in (states, changed)]
        assert torch.equal(*last) is not sees


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean mamba2-tiny"):
        recipe("mamba2-tny")
