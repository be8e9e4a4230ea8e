"""What is tapped is what a caller of the model gets; models called in ways a site cannot follow say so."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AlbertConfig, AlbertModel, GPT2Config, GPT2LMHeadModel

from repflow.core import ModelProblem, block_taps
from repflow.models import find_taps
from repflow.models.finding import check_contract
from repflow.models.ordinary import check_ordinary, ordinary_call

IDS = torch.arange(6)[None]


class Louder(GPT2LMHeadModel):
    """Its own forward does something to the embeddings that its trunk knows nothing of."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        embeds = 2 * self.transformer.wte(input_ids)
        return super().forward(inputs_embeds=embeds, attention_mask=attention_mask, **options)


class Longer(GPT2LMHeadModel):
    """Three virtual tokens before every row."""

    def forward(self, input_ids: Tensor) -> Any:
        embeds = self.transformer.wte(input_ids)
        return super().forward(inputs_embeds=torch.cat([embeds[:, :1].expand(-1, 3, -1), embeds], 1))


class Demanding(GPT2LMHeadModel):
    def forward(self, input_ids: Tensor, *, labels: Tensor) -> Any:
        return super().forward(input_ids=input_ids, labels=labels)


def tiny(kind: type[GPT2LMHeadModel]) -> Any:
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 40, "bos_token_id": 0, "eos_token_id": 0}
    return kind(GPT2Config(**sizes)).eval()


def checked(model: Any) -> str:
    return check_ordinary(model, find_taps(model)[-1], lambda ids: model.base_model(input_ids=ids), IDS)


def test_a_trunk_that_is_what_the_model_runs_passes() -> None:
    assert checked(tiny(GPT2LMHeadModel)) == ""


@pytest.mark.parametrize(("kind", "holds"), [(Louder, "states that differ by"), (Longer, "3 more states a row")])
def test_a_forward_of_its_own_is_not_passed_over(kind: type[GPT2LMHeadModel], holds: str) -> None:
    with pytest.raises(ModelProblem, match=f"called as its users call it, holds {holds}"):
        checked(tiny(kind))


def test_a_model_without_an_ordinary_call_is_said_to_be_unchecked() -> None:
    assert "no ordinary call of Demanding" in checked(tiny(Demanding))


def test_the_ordinary_call_uses_what_the_signature_takes() -> None:
    model = tiny(GPT2LMHeadModel)
    call = ordinary_call(model, IDS)
    assert not isinstance(call, str)
    found = call(IDS)
    assert found.logits.shape[:2] == (1, 1)
    assert found.past_key_values is None


class Looped(nn.Module):
    """Two blocks, gone through `times` times, then a norm."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
        self.norm = nn.LayerNorm(8)
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            for layer in self.layers:
                x = layer(x)
        return self.norm(x)


def test_a_looped_model_is_told_as_one() -> None:
    x, words = torch.randn(1, 6, 8), r"layers\.0 gives more than one state in a pass: Looped calls it 3 times.*unroll"
    once, thrice = Looped(1), Looped(3)
    assert len(find_taps(once, lambda: once(x))) == 4
    with pytest.raises(ModelProblem, match=words):
        find_taps(thrice, lambda: thrice(x))
    with pytest.raises(ModelProblem, match=words):
        check_contract(thrice, find_taps(thrice), lambda: thrice(x))


def test_shared_weights_are_told_as_such() -> None:
    sizes = {"hidden_size": 16, "embedding_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2}
    model = AlbertModel(AlbertConfig(vocab_size=40, intermediate_size=32, **sizes)).eval()
    with pytest.raises(ModelProblem, match="gives more than one state in a pass: AlbertModel calls it 4 times"):
        find_taps(model, lambda: model(input_ids=IDS))


def test_a_model_without_a_final_norm_ends_with_its_last_block() -> None:
    model = nn.Module()
    model.layers = Looped(1).layers
    taps = find_taps(model, final_norm="none")
    assert [tap.site.name for tap in taps] == ["embed", "block.0", "block.1"]
    assert [tap.module for tap in block_taps(taps)] == ["layers.0", "layers.1"]
    assert taps == find_taps(model, blocks="layers", final_norm="none")
    with pytest.raises(ModelProblem, match="the final norm of a model without one is 'none'"):
        find_taps(model)
