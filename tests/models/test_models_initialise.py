"""Re-initialisation: what changes, what does not, and that a seed says it all."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from repflow.core import ModelProblem
from repflow.models.families import FAMILIES, config_settings
from repflow.models.initialise import neutral_weight, random_model, reinitialise, trained_buffers
from repflow.models.loading import load
from repflow.models.spec import SCHEMES, Init

GENERIC = ("normal", "xavier", "kaiming", "orthogonal")


def noisy(model: nn.Module) -> nn.Module:
    """Every parameter and trained buffer off its initial value, as after training."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, tensor in [*model.named_parameters(), *trained_buffers(model)]:
            tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.1 + 0.01)
    return model


def trained(family: str, **options: object) -> nn.Module:
    settings = config_settings(FAMILIES[family], {"layers": 2, "width": 16, "vocab": 40, **options})
    return noisy(random_model(AutoConfig.for_model(family, **settings), 7))


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in [*model.named_parameters(), *trained_buffers(model)]}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_config_is_the_familys_own_with_the_seed(family: str) -> None:
    model = trained(family)
    before = values(model)
    state = torch.random.get_rng_state()
    redrawn = reinitialise(model, Init("config", 5))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        fresh = values(AutoModelForCausalLM.from_config(model.config, dtype=torch.float32))
    after = values(model)
    assert after.keys() == fresh.keys()
    assert all(torch.equal(after[name], fresh[name]) for name in fresh)
    assert set(redrawn.changed) == set(before), "every tensor was off its initial value"
    assert redrawn.kept == ()


MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 8}
DEEPSEEK = MOE | {
    "n_routed_experts": 8, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 8,
    "kv_lora_rank": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "qk_nope_head_dim": 8,
}  # fmt: skip
SHARED = MOE | {"num_experts": 4, "shared_expert_intermediate_size": 8}
DELTA = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
LAYERS = ["linear_attention", "full_attention"]
NEMOTRON = MOE | {
    "layers_block_type": ["linear_attention", "moe"], "head_dim": 16, "mamba_num_heads": 4, "mamba_head_dim": 8,
    "ssm_state_size": 8, "n_groups": 1, "n_routed_experts": 4, "moe_shared_expert_intermediate_size": 8,
}  # fmt: skip
OTHERS: dict[str, dict[str, object]] = {
    "bloom": {"n_layer": 2, "n_head": 2},
    "deepseek_v3": DEEPSEEK,
    "ernie4_5_moe": MOE | {"moe_num_experts": 4, "moe_k": 2},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "minimax": {"num_local_experts": 4, "head_dim": 16, "block_size": 16},
    "nemotron_h": NEMOTRON,
    "qwen2_moe": SHARED | {"decoder_sparse_step": 1},
    "qwen3_next": SHARED | DELTA | {"head_dim": 16, "layer_types": LAYERS},
    "xlstm": {"hidden_size": 64, "num_blocks": 2, "num_heads": 2},
}
"""Families beyond the registry, with routing biases, one-row gates, sinks, convolutions and gated recurrences."""


def other(family: str) -> nn.Module:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    kept = {key: value for key, value in sizes.items() if family not in ("bloom", "xlstm", "nemotron_h")}
    shape = {"hidden_size": 32} | kept | {"vocab_size": 40, "intermediate_size": 32}
    return noisy(random_model(AutoConfig.for_model(family, **(shape | OTHERS[family])), 7))


def of_any(family: str) -> nn.Module:
    return other(family) if family in OTHERS else trained(family)


@pytest.mark.parametrize("family", sorted({*FAMILIES, *OTHERS}))
def test_nothing_stays_as_trained(family: str) -> None:
    """Every tensor is noise; under every scheme each is drawn, finite, and said to be; what stays is one value."""
    for scheme in SCHEMES:
        model = of_any(family)
        before = values(model)
        redrawn = reinitialise(model, Init(scheme, 1))
        after = values(model)
        stayed = {name for name in before if torch.equal(before[name], after[name])}
        assert stayed == {n for n in before if scheme == "permuted" and before[n].numel() == 1}, scheme
        assert stayed == set(redrawn.kept)
        assert set(redrawn.changed) == before.keys() - stayed
        assert all(torch.isfinite(tensor).all() for tensor in after.values())


@pytest.mark.parametrize("family", ["nemotron_h", "deepseek_v3", "gpt_oss"])
def test_a_draw_of_config_is_from_config_with_its_buffers(family: str) -> None:
    model = other(family)
    for name, tensor in trained_buffers(model):
        if name.endswith("e_score_correction_bias"):
            tensor.fill_(0.7)
    reinitialise(model, Init("config", 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        fresh = AutoModelForCausalLM.from_config(model.config, dtype=torch.float32).state_dict()
    after = model.state_dict()
    assert after.keys() == fresh.keys()
    assert all(torch.equal(after[name], fresh[name]) for name in fresh)
    assert family == "gpt_oss" or any(name.endswith("e_score_correction_bias") for name in fresh)


def test_gates_of_one_row_are_drawn_like_any_matrix() -> None:
    model = other("qwen2_moe")
    reinitialise(model, Init("normal"))
    gates = [tensor for name, tensor in values(model).items() if name.endswith("shared_expert_gate.weight")]
    assert gates[0].shape == (1, 32)
    assert torch.cat(gates).std() == pytest.approx(0.02, rel=0.3)


def test_biases_of_experts_are_zero_and_sinks_the_familys() -> None:
    model = other("gpt_oss")
    reinitialise(model, Init("kaiming", 2))
    after, fresh = values(model), values(random_model(model.config, 2))
    assert all((tensor == 0).all() for name, tensor in after.items() if name.endswith("_bias"))
    sinks = [name for name in after if name.endswith("sinks")]
    assert sinks
    assert all(torch.equal(after[name], fresh[name]) for name in sinks)


@pytest.mark.parametrize("scheme", [*GENERIC, "permuted"])
@pytest.mark.parametrize("family", ["mamba", "mamba2", "recurrent_gemma", "rwkv", "gpt_oss", "deepseek_v3"])
def test_what_a_scheme_has_no_rule_for_stays_when_asked(family: str, scheme: str) -> None:
    model = of_any(family)
    before = values(model)
    redrawn = reinitialise(model, Init(scheme, keep=True))
    after = values(model)
    ends = ("A_log", ".D", "dt_bias", "dt_proj.bias", "recurrent_param", "gate_bias", "time_decay", "time_mix_key")
    special = {n for n in before if n.endswith((*ends, "time_mix_value", "time_mix_receptance", "time_first", "sinks"))}
    special |= {name for name, _ in trained_buffers(model)}
    assert special
    assert set(redrawn.kept) == special
    assert all(torch.equal(before[name], after[name]) for name in special)
    assert set(redrawn.changed) == before.keys() - special


def test_a_tensor_that_cannot_be_drawn_is_refused_by_name() -> None:
    model = trained("gpt2")
    model.register_parameter("soft_prompt", nn.Parameter(torch.ones(3)))
    for scheme in ("config", "normal"):
        with pytest.raises(ModelProblem, match=r"cannot draw soft_prompt.*\+keep leaves"):
            reinitialise(model, Init(scheme))
    redrawn = reinitialise(model, Init("config", 1, keep=True))
    assert redrawn.kept == ("soft_prompt",)
    assert (model.get_parameter("soft_prompt") == 1).all()


def test_permuted_leaves_constants_in_their_order() -> None:
    """A buffer that is what the family makes it is no training's work: shuffled decays would be another model."""
    model = random_model(other("minimax").config, 0)
    before = dict(trained_buffers(model))
    assert any(name.endswith("slope_rate") for name in before)
    kept = {name: tensor.clone() for name, tensor in before.items()}
    redrawn = reinitialise(model, Init("permuted"))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in trained_buffers(model))
    assert not set(redrawn.kept) & set(kept)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_the_seed_decides(scheme: str) -> None:
    models = [trained("jamba") for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.manual_seed(seed * 100 + len(scheme))
        reinitialise(model, Init(scheme, seed))
    first, again, other = (values(model) for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_schemes_give_the_spreads_they_promise() -> None:
    name, width = "model.layers.0.mlp.down_proj.weight", 64
    drawn = {}
    for scheme in GENERIC:
        model = trained("llama", width=width)
        reinitialise(model, Init(scheme))
        drawn[scheme] = values(model)[name]
    fan_out, fan_in = drawn["normal"].shape
    assert drawn["normal"].std() == pytest.approx(0.02, rel=0.05)
    assert drawn["kaiming"].std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    assert drawn["xavier"].abs().max() <= (6 / (fan_in + fan_out)) ** 0.5
    assert drawn["xavier"].std() == pytest.approx((2 / (fan_in + fan_out)) ** 0.5, rel=0.05)
    assert torch.allclose(drawn["orthogonal"] @ drawn["orthogonal"].T, torch.eye(fan_out), atol=1e-5)


def test_gpt2_stores_its_matrices_the_other_way_round() -> None:
    model = trained("gpt2", width=32)
    reinitialise(model, Init("kaiming"))
    weight = values(model)["transformer.h.0.mlp.c_proj.weight"]
    assert weight.shape == (128, 32)
    assert weight.std() == pytest.approx((2 / 128) ** 0.5, rel=0.08)


def test_biases_are_zero_and_norms_neutral() -> None:
    model = trained("gpt_neox")
    reinitialise(model, Init("normal"))
    after = values(model)
    assert all((t == 0).all() for name, t in after.items() if name.endswith("bias"))
    assert all((t == 1).all() for name, t in after.items() if name.endswith("norm.weight"))


def test_norms_that_multiply_by_one_plus_weight_go_to_zero() -> None:
    model = trained("recurrent_gemma")
    norm = model.get_submodule("model.final_norm")
    before = norm.get_parameter("weight").clone()
    assert neutral_weight(norm) == 0.0
    assert torch.equal(norm.get_parameter("weight"), before)
    assert neutral_weight(nn.LayerNorm(4)) == 1.0
    reinitialise(model, Init("normal"))
    assert (norm.get_parameter("weight") == 0).all()


def test_permuted_keeps_every_value() -> None:
    model = trained("mamba2")
    before = values(model)
    changed = reinitialise(model, Init("permuted")).changed
    after = values(model)
    assert all(torch.equal(before[name].flatten().sort()[0], after[name].flatten().sort()[0]) for name in before)
    assert "backbone.norm_f.weight" in changed


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_tied_embeddings_stay_tied(scheme: str) -> None:
    model = trained("gpt2")
    reinitialise(model, Init(scheme))
    assert model.get_submodule("lm_head").weight is model.get_submodule("transformer.wte").weight
    model = trained("zamba2", layers=4)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    shared = [name for name in names if name.endswith("shared_transformer.self_attn.q_proj.weight")]
    reinitialise(model, Init(scheme))
    assert len(shared) == 2
    assert model.get_parameter(shared[0]) is model.get_parameter(shared[1])


def test_a_spec_with_a_scheme_says_what_changed() -> None:
    plain, again = load("config:mamba,layers=2,width=16"), load("config:mamba,layers=2,width=16@init=config:0")
    drawn = load("config:mamba,layers=2,width=16@init=normal:4")
    assert again.facts.weights_sha256 == plain.facts.weights_sha256
    assert again.facts.reinitialised == ()
    assert drawn.facts.init == "normal:4"
    assert drawn.facts.label == "config:mamba,layers=2,width=16@init=normal:4"
    assert "backbone.layers.0.mixer.in_proj.weight" in drawn.facts.reinitialised
    kept = load("config:mamba,layers=2,width=16@init=normal:4+keep")
    assert any("A_log" in name for name in kept.facts.kept)
    assert any("as trained" in line and "A_log" in line for line in kept.facts.warnings)
    assert (drawn.facts.kept, drawn.facts.warnings) == ((), ())
    assert load("config:mamba,layers=2,width=16", seed=3).facts.init == "config:3"
