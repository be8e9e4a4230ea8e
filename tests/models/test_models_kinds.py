"""What kind of model it is: by what mixes tokens in its blocks, never by what its classes are called."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import DELTA, EXPERTS, MLA, model_of, saved
from torch import nn

from repflow.models import load
from repflow.models.mixers import has_experts, kind_of, mixers_of
from repflow.models.reading import readable

TYPES = ["linear_attention", "full_attention"]
A, L, S, C, R = "attention", "linear attention", "SSM", "convolution", "recurrent"

FAMILIES: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = [
    ("gpt_oss", EXPERTS, (A, A), "TBM"),
    ("seed_oss", {}, (A, A), "TBM"),
    ("minimax", {**EXPERTS, "layer_types": TYPES}, (L, A), "hybrid"),
    ("minimax_m2", EXPERTS, (A, A), "TBM"),
    ("kimi_linear", {**EXPERTS, **MLA, "num_key_value_heads": 4, "layer_types": TYPES}, (L, A), "hybrid"),
    ("qwen3_next", {**EXPERTS, **DELTA, "layer_types": TYPES}, (L, A), "hybrid"),
    ("qwen3_next", {**EXPERTS, **DELTA, "layer_types": TYPES[:1] * 2}, (L, L), "linear attention"),
    ("olmo_hybrid", {**DELTA, "layer_types": TYPES}, (L, A), "hybrid"),
    ("lfm2", {"layer_types": ["conv", "full_attention"]}, (C, A), "hybrid"),
    ("lfm2", {"layer_types": ["conv", "conv"]}, (C, C), "convolution"),
    ("xlstm", {"num_heads": 4, "head_dim": ...}, (R, R), "recurrent"),
    ("rwkv", {"attention_hidden_size": 32}, (R, R), "recurrent"),
    ("recurrent_gemma", {"lru_width": 32, "block_types": ["recurrent", "attention"]}, (R, A), "hybrid"),
    (
        "falcon_h1",
        {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8},
        ("SSM+attention",) * 2,
        "hybrid",
    ),
    ("mamba", {"state_size": 8}, (S, S), "SSM"),
    ("bloom", {"n_head": 4}, (A, A), "TBM"),
    ("phi", {}, (A, A), "TBM"),
    ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}, (A, A), "TBM"),
    ("gemma2", {}, (A, A), "TBM"),
    ("xglm", {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64}, (A, A), "TBM"),
]


@pytest.mark.parametrize(("family", "settings", "mixers", "kind"), FAMILIES)
def test_what_mixes_the_tokens(family: str, settings: dict[str, Any], mixers: tuple[str, ...], kind: str) -> None:
    model = model_of(family, **settings)
    found = mixers_of(model, *seen(model))
    assert found == mixers
    assert kind_of(found) == kind
    assert has_experts(model) == ("num_experts" in settings)


def seen(model: Any) -> tuple[Any, Any]:
    with torch.no_grad():
        read = readable(model, lambda ids: model.base_model(input_ids=ids, use_cache=False))
    return read.taps, read.observed


def test_the_record_has_it(tmp_path: Path) -> None:
    facts = load(saved(tmp_path, "gpt_oss", **EXPERTS)).facts
    assert (facts.kind, facts.mixers, facts.experts, facts.max_positions) == ("TBM", (A, A), True, 128)


def test_names_of_classes_do_not_count() -> None:
    model = model_of("llama")
    for module in model.modules():
        module.__class__ = type("GptOssMambaRecurrentConvDeltaNet", (type(module),), {})
    assert kind_of(mixers_of(model, *seen(model))) == "TBM"
    model = model_of("mamba", state_size=8)
    for module in model.modules():
        module.__class__ = type("SelfAttention", (type(module),), {})
    assert kind_of(mixers_of(model, *seen(model))) == "SSM"


def test_a_recurrence_by_torch_is_one() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRU(32, 32, batch_first=True)

        def forward(self, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
            return hidden_states + self.cell(hidden_states)[0]

    model = model_of("llama")
    model.model.layers = nn.ModuleList([Block(), Block()])
    assert kind_of(mixers_of(model, *seen(model))) == "recurrent"


@pytest.mark.parametrize(
    ("mixers", "kind"),
    [
        ((A, "", A), "TBM"),
        (("", ""), "other"),
        ((S, A), "hybrid"),
        (("SSM+attention",), "hybrid"),
        ((R, C), "hybrid"),
    ],
)
def test_kinds(mixers: tuple[str, ...], kind: str) -> None:
    assert kind_of(mixers) == kind
