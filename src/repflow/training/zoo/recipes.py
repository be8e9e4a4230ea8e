"""The architectures of the zoo: alike in width, depth, vocabulary and size, different in how they mix tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from repflow.core import unknown
from repflow.models.initialise import random_model

WIDTH = 128
BLOCKS = 12
VOCABULARY = 4096
POSITIONS = 1024
END_OF_TEXT = "<|endoftext|>"

_SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_MAMBA2_CHUNK = 64
"""Tokens that the chunked scan takes at once; it changes no result. Short chunks are what a CPU's caches hold."""
_WIDE_INIT = 0.08
"""Spread of the first weights of models with attention: with 0.02 they take many times longer to find a token again."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model of the zoo."""

    name: str
    about: str
    """What it is, in the words of its card."""
    config: Callable[[], Any]
    """Makes the transformers config."""


def _pythia() -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        **_SHARED,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        intermediate_size=224,
        max_position_embeddings=POSITIONS,
        initializer_range=_WIDE_INIT,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
    )


def _llama() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        **_SHARED,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        intermediate_size=152,
        max_position_embeddings=POSITIONS,
        initializer_range=_WIDE_INIT,
    )


def _gpt_neo() -> Any:
    from transformers import GPTNeoConfig

    return GPTNeoConfig(
        **_SHARED,
        num_layers=BLOCKS,
        num_heads=4,
        intermediate_size=192,
        max_position_embeddings=POSITIONS,
        attention_types=[[["global", "local"], BLOCKS // 2]],
        window_size=256,
    )


def _mamba() -> Any:
    from transformers import MambaConfig

    return MambaConfig(**_SHARED, num_hidden_layers=BLOCKS, state_size=16, expand=2)


def _mamba2() -> Any:
    from transformers import Mamba2Config

    return Mamba2Config(
        **_SHARED,
        num_hidden_layers=BLOCKS,
        state_size=64,
        expand=2,
        num_heads=4,
        head_dim=64,
        n_groups=1,
        chunk_size=_MAMBA2_CHUNK,
        rescale_prenorm_residual=True,
    )


def _hybrid() -> Any:
    from transformers import BambaConfig

    return BambaConfig(
        **_SHARED,
        num_hidden_layers=BLOCKS,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=4,
        attn_layer_indices=list(range(BLOCKS - 4, BLOCKS)),
        max_position_embeddings=POSITIONS,
        mamba_n_heads=4,
        mamba_d_head=64,
        mamba_d_state=64,
        mamba_n_groups=1,
        mamba_expand=2,
        mamba_chunk_size=_MAMBA2_CHUNK,
        initializer_range=_WIDE_INIT,
    )


_ALL = (
    Recipe("pythia-tiny", "GPT-NeoX: attention and MLP side by side, rotary positions", _pythia),
    Recipe("llama-tiny", "Llama: attention, then a gated MLP, rotary positions", _llama),
    Recipe("gpt-neo-tiny", "GPT-Neo: global and local attention (256 tokens) in turn, learned positions", _gpt_neo),
    Recipe("mamba-tiny", "Mamba: selective state space, 16 states a channel", _mamba),
    Recipe("mamba2-tiny", "Mamba-2: state space with scalar decay a head, 4 heads, 64 states", _mamba2),
    Recipe("hybrid-tiny", "Bamba: Mamba-2 mixers in the first 8 blocks, attention in the last 4", _hybrid),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def recipe(name: str) -> Recipe:
    """The recipe of this name. Raises UnknownName."""
    if name not in RECIPES:
        raise unknown("zoo model to train", name, RECIPES)
    return RECIPES[name]


def first_weights(config: Any, seed: int) -> Any:
    """The model of this config before its first step, in float32.

    transformers shrinks Mamba-2's output projections by `rescale_prenorm_residual` whenever it makes the class, also
    where it then reads saved weights. So what is saved does not ask for it again.
    """
    model = random_model(config, seed)
    if getattr(model.config, "rescale_prenorm_residual", False):
        model.config.rescale_prenorm_residual = False
    return model
