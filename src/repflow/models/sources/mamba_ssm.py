"""The layout in which Mamba's authors published their models: their own config.json, no `model_type`."""

from collections.abc import Mapping
from typing import Any

from repflow.core import BadFile, ModelProblem
from repflow.models.sources.checkpoint import Checkpoint

_OWN = frozenset({"d_model", "n_layer"})
_EMBEDDING = "backbone.embedding.weight"
_SETTINGS = {
    "mamba": {"d_state": "state_size", "d_conv": "conv_kernel", "expand": "expand", "dt_rank": "time_step_rank"}
    | {"conv_bias": "use_conv_bias", "bias": "use_bias"},
    "mamba2": {"d_state": "state_size", "d_conv": "conv_kernel", "expand": "expand", "headdim": "head_dim"}
    | {"ngroups": "n_groups", "chunk_size": "chunk_size", "conv_bias": "use_conv_bias", "bias": "use_bias"},
}
"""Each setting of a mixer and its name in transformers."""
_DEFAULTS = {
    "mamba": {"d_state": 16, "d_conv": 4, "expand": 2, "dt_rank": "auto", "conv_bias": True, "bias": False},
    "mamba2": {"d_state": 128, "d_conv": 4, "expand": 2, "headdim": 64, "ngroups": 1, "chunk_size": 256}
    | {"conv_bias": True, "bias": False},
}


def is_original(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of mamba_ssm's."""
    return "model_type" not in config and config.keys() >= _OWN


def original_config(checkpoint: Checkpoint) -> Any:
    """transformers' config of the same model. Raises BadFile or ModelProblem for what it cannot say."""
    from transformers import AutoConfig

    given, where = checkpoint.config, checkpoint.folder / "config.json"
    mixer = given.get("ssm_cfg") or {}
    if not isinstance(mixer, dict):
        raise BadFile(f"{where}: ssm_cfg must be an object, got {mixer!r}")
    kind = str(mixer.get("layer", "Mamba1")).lower().replace("mamba1", "mamba")
    unread = [key for key in ("attn_layer_idx", "d_intermediate") if given.get(key)]
    unread += [] if given.get("rms_norm", True) else ["rms_norm=false"]
    unread += sorted(mixer.keys() - _SETTINGS.get(kind, {}).keys() - {"layer"})
    if kind not in _SETTINGS or unread:
        raise ModelProblem(
            f"{where}: {', '.join(unread) or f'layer {kind}'} of mamba_ssm is not read; convert the model to -hf"
        )
    if _EMBEDDING not in checkpoint.shapes:
        raise BadFile(f"{where} is of mamba_ssm, but the weights hold no {_EMBEDDING}")
    own = {_SETTINGS[kind][key]: value for key, value in (_DEFAULTS[kind] | mixer).items() if key != "layer"}
    if kind == "mamba2":
        own["num_heads"] = own["expand"] * given["d_model"] // own["head_dim"]
    return AutoConfig.for_model(
        kind,
        hidden_size=given["d_model"],
        num_hidden_layers=given["n_layer"],
        vocab_size=checkpoint.shapes[_EMBEDDING][0],
        residual_in_fp32=given.get("residual_in_fp32", True),
        tie_word_embeddings=given.get("tie_embeddings", True),
        **own,
    )


def renamed(name: str) -> str:
    """The name of a tensor in transformers' layout."""
    return name.replace("backbone.embedding.", "backbone.embeddings.", 1)
