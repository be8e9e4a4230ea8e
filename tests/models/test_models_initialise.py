"""Re-initialisation: what changes, what does not, and that a seed says it all."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from repflow.models.families import FAMILIES, config_settings
from repflow.models.initialise import RECURRENCE, neutral_weight, random_model, reinitialise
from repflow.models.loading import load
from repflow.models.spec import SCHEMES, Init

GENERIC = ("normal", "xavier", "kaiming", "orthogonal")


def trained(family: str, **options: object) -> nn.Module:
    """A model whose every parameter is off its initial value, as after training."""
    settings = config_settings(FAMILIES[family], {"layers": 2, "width": 16, "vocab": 40, **options})
    model = random_model(AutoConfig.for_model(family, **settings), 7)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator) * 0.1 + 0.01)
    return model


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_config_is_the_familys_own_with_the_seed(family: str) -> None:
    model = trained(family)
    before = values(model)
    state = torch.random.get_rng_state()
    changed = reinitialise(model, Init("config", 5))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        fresh = values(AutoModelForCausalLM.from_config(model.config, dtype=torch.float32))
    after = values(model)
    assert after.keys() == fresh.keys()
    assert all(torch.equal(after[name], fresh[name]) for name in fresh)
    assert set(changed) == {name for name in before if not torch.equal(before[name], after[name])}
    assert set(changed) == set(before), "every parameter was off its initial value"


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("scheme", [*GENERIC, "permuted"])
def test_generic_schemes_leave_the_recurrence_alone(family: str, scheme: str) -> None:
    model = trained(family)
    before = values(model)
    changed = reinitialise(model, Init(scheme))
    after = values(model)
    assert set(changed) == {name for name in before if not torch.equal(before[name], after[name])}
    kept = {name for name in before if name.rpartition(".")[2] in RECURRENCE or name.endswith("dt_proj.bias")}
    assert not kept & set(changed)
    if FAMILIES[family].kind in ("SSM", "hybrid"):
        assert kept
    matrices = {name for name, t in before.items() if sum(n > 1 for n in t.shape) >= 2} - kept
    assert matrices - set(changed) <= {n for n in before if "time_mix" in n}
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


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
    changed = reinitialise(model, Init("permuted"))
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
    assert not any("A_log" in name for name in drawn.facts.reinitialised)
    assert load("config:mamba,layers=2,width=16", seed=3).facts.init == "config:3"
