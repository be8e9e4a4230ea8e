"""Checkpoints whose tensors have other names: Mamba's authors' layout, and what wrappers of training leave in them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import model_of, save, saved, states_of

from repflow.core import BadFile, ModelProblem
from repflow.models import load
from repflow.models.byte_tokenizer import byte_tokenizer
from repflow.models.loading import Loaded

IDS = [5, 9, 40, 41, 200, 3]
MAMBA: dict[str, Any] = {"d_model": 32, "n_layer": 2, "vocab_size": 257, "rms_norm": True, "residual_in_fp32": True}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mamba": ({"state_size": 16, "vocab_size": 264}, {}),
    "mamba with settings": (
        {
            "state_size": 8,
            "conv_kernel": 3,
            "expand": 3,
            "intermediate_size": 96,
            "time_step_rank": 5,
            "vocab_size": 264,
        },
        {"d_state": 8, "d_conv": 3, "expand": 3, "dt_rank": 5, "layer": "Mamba1"},
    ),
    "mamba2": (
        {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 16, "vocab_size": 264},
        {"layer": "Mamba2", "d_state": 8, "headdim": 8, "ngroups": 2, "chunk_size": 16},
    ),
}


def original(folder: Path, kind: str, suffix: str = "bin", **settings: Any) -> Loaded:
    """A folder as Mamba's authors write it, and the same model loaded from the -hf layout."""
    hf, mixer = KINDS[kind]
    model = model_of(kind.split()[0], tie_word_embeddings=True, **hf)
    beside = load(save(folder / "hf", model))
    own = folder / "original"
    own.mkdir()
    tensors = {
        name.replace("backbone.embeddings.", "backbone.embedding."): tensor.clone()
        for name, tensor in model.state_dict().items()
    }
    if suffix == "bin":
        torch.save(tensors, own / "pytorch_model.bin")
    else:
        save_file({name: t for name, t in tensors.items() if name != "lm_head.weight"}, own / "model.safetensors")
    (own / "config.json").write_text(json.dumps({**MAMBA, "ssm_cfg": mixer, **settings}))
    byte_tokenizer().save_pretrained(own)
    return beside


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_of_mambas_authors_is_the_same_model(tmp_path: Path, kind: str, suffix: str) -> None:
    beside = original(tmp_path, kind, suffix)
    found = load(str(tmp_path / "original"))
    assert found.facts.weights_sha256 == beside.facts.weights_sha256
    assert (found.facts.family, found.facts.kind, found.facts.warnings) == (kind.split()[0], "SSM", ())
    assert torch.equal(states_of(found.model, IDS), states_of(beside.model, IDS))
    assert found.facts.tokenizer_sha256 == beside.facts.tokenizer_sha256


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"attn_layer_idx": [1]}, ModelProblem, "attn_layer_idx of mamba_ssm is not read"),
        ({"d_intermediate": 64}, ModelProblem, "d_intermediate"),
        ({"rms_norm": False}, ModelProblem, "rms_norm=false"),
        ({"ssm_cfg": {"layer": "Mamba3"}}, ModelProblem, "layer mamba3"),
        ({"ssm_cfg": {"strange": 1}}, ModelProblem, "strange"),
        ({"ssm_cfg": [1]}, BadFile, "ssm_cfg must be an object"),
        ({"d_model": 48}, ModelProblem, r"is \[.*\] in the checkpoint and \[.*\] by its config"),
        ({"n_layer": 3}, ModelProblem, "lacks 10 of the model's tensors"),
        ({"n_layer": "two"}, ModelProblem, "cannot read"),
        ({"d_model": None}, ModelProblem, "cannot"),
    ],
)
def test_what_it_cannot_say_is_refused(tmp_path: Path, settings: dict[str, Any], error: Any, says: str) -> None:
    original(tmp_path, "mamba", **settings)
    with pytest.raises(error, match=says) as caught:
        load(str(tmp_path / "original"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: name.replace("layers.1.", "layers.1._orig_mod."),
        lambda name: name.replace("self_attn.", "_fsdp_wrapped_module.self_attn._checkpoint_wrapped_module."),
    ],
)
def test_the_names_that_wrappers_leave(tmp_path: Path, rename: Any) -> None:
    spec = saved(tmp_path, "llama")
    before = load(spec).facts
    file = tmp_path / "model.safetensors"
    save_file({rename(name): tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    found = load(spec)
    assert (found.facts.weights_sha256, found.facts.warnings) == (before.weights_sha256, ())
    assert found.model.generation_config.eos_token_id == 2


def test_a_part_of_a_model_that_is_called_module_keeps_its_name() -> None:
    from repflow.models.sources.directory import _WRAPPERS

    assert _WRAPPERS.sub("", "model.layers.0.submodule.weight") == "model.layers.0.submodule.weight"
    assert _WRAPPERS.sub("", "_orig_mod.model.norm.weight") == "model.norm.weight"
