"""Sites of models that nobody registered."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from repflow.core import ModelProblem
from repflow.models.finding import check_contract, describe_modules, find_taps
from repflow.models.reading import check_causal, readable


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.norm(x))


class Net(nn.Module):
    """Blocks between a decoy list and two norms; `skew` breaks the hand-over before block 2."""

    def __init__(self, depth: int = 3, skew: float = 0.0, norm: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.decoys = nn.ModuleList([nn.Linear(8, 8) for _ in range(9)])
        self.blocks = nn.ModuleList([Block(8) for _ in range(depth)])
        self.other_norm = nn.LayerNorm(8)
        self.last_norm = nn.LayerNorm(8) if norm else nn.Identity()
        self.skew = skew

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.other_norm(self.embed(ids))
        x = x + sum(decoy(x) for decoy in self.decoys)
        for i, block in enumerate(self.blocks):
            x = block(x + self.skew if i == 2 else x)
        return self.last_norm(x)


IDS = torch.arange(6).unsqueeze(0)


def test_running_tells_the_blocks_from_a_longer_decoy() -> None:
    net = Net()
    taps = find_taps(net, lambda: net(IDS))
    assert [t.module for t in taps] == ["blocks.0", "blocks.0", "blocks.1", "blocks.2", "last_norm"]
    assert set(check_contract(net, taps, lambda: net(IDS))) == {"embed", "block.0", "block.1", "block.2", "final_norm"}
    assert all(not m._forward_hooks for m in net.modules())


def test_without_a_run_two_lists_are_not_guessed_at() -> None:
    with pytest.raises(
        ModelProblem, match=r"cannot tell the blocks.*decoys \(9 x Linear\).*blocks \(3 x Block\).*--blocks"
    ):
        find_taps(Net())


def test_names_by_hand_win() -> None:
    net = Net()
    assert find_taps(net, blocks="blocks", final_norm="other_norm")[-1].module == "other_norm"
    assert find_taps(net, lambda: net(IDS), blocks="blocks")[-1].module == "last_norm"
    with pytest.raises(ModelProblem, match="no module 'layers'"):
        find_taps(net, blocks="layers", final_norm="last_norm")


def test_no_norm_after_the_blocks() -> None:
    net = Net(norm=False)
    with pytest.raises(ModelProblem, match="cannot tell"):
        find_taps(net, lambda: net(IDS))
    taps = find_taps(net, lambda: net(IDS), final_norm="last_norm")
    assert taps[-1].module == "last_norm"
    assert taps[1].module == "blocks.0"


def test_a_stream_that_is_changed_between_blocks_is_refused() -> None:
    net = Net(skew=0.5)
    with pytest.raises(ModelProblem, match="cannot tell"):
        find_taps(net, lambda: net(IDS))
    taps = find_taps(net, blocks="blocks", final_norm="last_norm")
    with pytest.raises(ModelProblem, match=r"the input of blocks\.2 is not the output of blocks\.1"):
        check_contract(net, taps, lambda: net(IDS))


def test_a_norm_that_reads_something_else_is_refused() -> None:
    net = Net()
    taps = find_taps(net, blocks="blocks", final_norm="other_norm")
    with pytest.raises(ModelProblem, match="breaks the site contract"):
        check_contract(net, taps, lambda: net(IDS))


def test_hooks_go_even_when_the_run_fails() -> None:
    net = Net()

    def fail() -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        find_taps(net, fail)
    assert all(not m._forward_hooks for m in net.modules())


def test_a_transformers_family_outside_the_registry() -> None:
    sizes = {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 40}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("opt", word_embed_proj_dim=16, **sizes)).eval()
    taps = find_taps(model)
    assert taps == find_taps(model, lambda: model(input_ids=IDS))
    assert taps[-1].module == "model.decoder.final_layer_norm"
    assert len(taps) == 5
    assert "model.decoder.layers (3 x OPTDecoderLayer)" in describe_modules(model)


def test_a_model_that_looks_ahead_is_refused() -> None:
    from transformers import BertConfig, BertLMHeadModel

    sizes = {"vocab_size": 259, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertLMHeadModel(BertConfig(num_hidden_layers=3, **sizes)).eval()
    with pytest.raises(ModelProblem, match="not causal"), torch.no_grad():
        readable(model, lambda ids: model.base_model(ids))
    ids = torch.arange(8)[None]
    with torch.no_grad():
        state, changed = (model.bert(x).last_hidden_state for x in (ids, torch.tensor([[0, 1, 2, 3, 4, 5, 6, 20]])))
    with pytest.raises(ModelProblem, match="not causal"):
        check_causal(model, state, changed)
    check_causal(model, state, state)
