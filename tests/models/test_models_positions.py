"""Trained positions, wherever a config or a table says them; longer contexts are refused with both numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import model_of, save, saved
from transformers import AutoConfig

import repflow
from repflow.core import ContextTooLong
from repflow.models import load
from repflow.models.initialise import random_model
from repflow.models.mixers import mixers_of
from repflow.models.positions import trained_positions
from repflow.models.reading import readable

VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 16,
}
TEXT = {
    "vocab_size": 259,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
NONE: dict[str, Any] = {"max_position_embeddings": ..., "head_dim": ..., "num_key_value_heads": ...}


def composite(family: str) -> Any:
    """A model of text and images; its vision tower has positions of its own."""
    vision = VISION | {"max_position_embeddings": 7}
    config = AutoConfig.for_model(family, text_config=TEXT, vision_config=vision, mm_tokens_per_image=4)
    return random_model(config, 0).eval()


def test_gemma3_for_conditional_generation_refuses_a_context_beyond_its_text(tmp_path: Path) -> None:
    spec = save(tmp_path / "model", composite("gemma3"))
    assert load(spec).facts.max_positions == 128
    with pytest.raises(ContextTooLong, match=r"was trained on 128 positions, the longest example has 200 tokens"):
        repflow.flow(spec, context=200, examples=4, out=tmp_path / "run")
    assert len(repflow.flow(spec, context=128, examples=4, metrics=["norm"], out=tmp_path / "run").layers)


@pytest.mark.parametrize(
    ("family", "settings", "positions"),
    [
        ("llama", {"max_position_embeddings": 77}, 77),
        ("mistral", {"sliding_window": 16}, 128),
        ("gpt2", {"n_positions": 50, "n_head": 4, "max_position_embeddings": ...}, 50),
        ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 60}, 60),
        ("roberta", {"is_decoder": True, "max_position_embeddings": 60, "pad_token_id": 1}, 58),
        ("bloom", {"n_head": 4, "n_layer": 2, "seq_length": 99, **NONE}, 99),
        ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 44, **NONE}, 44),
        ("xlstm", {"num_heads": 4, "head_dim": ...}, None),
        ("mamba", {"state_size": 8, "max_position_embeddings": 5}, None),
        ("rwkv", {"attention_hidden_size": 32, "context_length": 12}, None),
        ("bamba", {"mamba_n_heads": 8, "mamba_d_head": 8, "attn_layer_indices": [1]}, 128),
    ],
)
def test_what_a_model_was_trained_on(family: str, settings: dict[str, Any], positions: int | None) -> None:
    model = model_of(family, **settings)
    norm = "none" if family == "roberta" else None
    with torch.no_grad():
        read = readable(model, lambda ids: model.base_model(input_ids=ids, use_cache=False), final_norm=norm)
    mixers = mixers_of(model, read.taps, read.observed)
    assert trained_positions(model, read.taps, mixers, read.observed) == positions


def test_a_table_smaller_than_the_config_says_counts() -> None:
    model = model_of("gpt2", n_head=4, n_positions=50, max_position_embeddings=...)
    model.config.n_positions = 500
    with torch.no_grad():
        read = readable(model, lambda ids: model.base_model(input_ids=ids, use_cache=False))
    assert read.observed.positions == 50
    assert trained_positions(model, read.taps, ("attention",) * 2, read.observed) == 50


def test_a_model_shorter_than_the_probe_is_one_line(tmp_path: Path) -> None:
    spec = saved(tmp_path, "gpt2", n_head=4, n_positions=12, max_position_embeddings=...)
    assert load(spec).facts.max_positions == 12
