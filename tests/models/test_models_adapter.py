"""Adapters: the same subject with and without peft installed, named in the record, or refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import model_of, save, states_of
from torch import Tensor

from repflow.core import BadFile, BadSpec, CallerError, ModelProblem
from repflow.models import SubjectSpec, load
from repflow.models.byte_tokenizer import byte_tokenizer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning", "ignore::UserWarning:peft"
)

IDS = [5, 9, 40, 41, 200, 3]
FAMILIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "llama": ({}, ["q_proj", "v_proj", "down_proj"]),
    "gpt2": ({"n_head": 4, "n_positions": 128}, ["c_attn", "c_proj"]),
    "mamba": ({"state_size": 8}, ["in_proj", "x_proj"]),
}
PLAIN = {"r": 4, "lora_alpha": 8}
SETTINGS: list[dict[str, Any]] = [
    PLAIN,
    {**PLAIN, "use_rslora": True},
    {**PLAIN, "rank_pattern": {"v_proj": 2, "down_proj": 3}, "alpha_pattern": {"layers.1.self_attn.q_proj": 32}},
    {**PLAIN, "modules_to_save": ["lm_head"]},
]


def noisy(model: Any, family: str, **settings: Any) -> Any:
    """The model with an adapter that changes it, by peft."""
    torch.manual_seed(3)
    adapted = get_peft_model(model, LoraConfig(target_modules=FAMILIES[family][1], **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return adapted.eval()


def beside(folder: Path, family: str = "llama", **settings: Any) -> Tensor:
    """A folder with a model and an adapter beside it; what peft itself makes of some tokens with the two."""
    model = model_of(family, **{"tie_word_embeddings": False} | FAMILIES[family][0])
    save(folder, model)
    adapted = noisy(model, family, **settings)
    adapted.save_pretrained(folder)
    return states_of(adapted.base_model.model, IDS)


def change(folder: Path, **settings: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize("settings", SETTINGS)
def test_weights_and_an_adapter_are_what_peft_makes_of_them(tmp_path: Path, settings: dict[str, Any]) -> None:
    expected = beside(tmp_path, **settings)
    found = load(str(tmp_path))
    assert torch.allclose(states_of(found.model, IDS), expected, atol=1e-5)
    assert [line.partition(":")[0] for line in found.facts.interventions] == [f"adapter {tmp_path.name}"]
    assert "LoRA" in found.facts.interventions[0]
    assert found.facts.warnings == ()


@pytest.mark.parametrize(
    ("family", "bias"), [("gpt2", "none"), ("gpt2", "all"), ("gpt2", "lora_only"), ("mamba", "none")]
)
def test_other_layouts_of_weights(tmp_path: Path, family: str, bias: str) -> None:
    expected = beside(tmp_path, family, bias=bias, **PLAIN)
    assert torch.allclose(states_of(load(str(tmp_path)).model, IDS), expected, atol=1e-5)


def test_the_delta_by_hand(tmp_path: Path) -> None:
    beside(tmp_path, **PLAIN)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = "model.layers.1.self_attn.q_proj"
    a, b = (tensors[f"base_model.model.{name}.lora_{side}.weight"].double().numpy() for side in "AB")
    base = load_file(tmp_path / "model.safetensors")[f"{name}.weight"].double().numpy()
    merged = load(str(tmp_path)).model.get_parameter(f"{name}.weight").double().numpy()
    assert np.allclose(merged, base + 8 / 4 * b @ a, atol=1e-6)
    assert np.abs(b @ a).max() > 1e-2


def test_it_is_the_same_without_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside(tmp_path, **PLAIN)
    with_it = load(str(tmp_path)).facts
    for module in ("transformers.integrations.peft", "transformers.models.auto.auto_factory"):
        monkeypatch.setattr(f"{module}.is_peft_available", lambda: False)
    assert load(str(tmp_path)).facts == with_it


def test_the_hash_tells_the_adapter(tmp_path: Path) -> None:
    beside(tmp_path, **PLAIN)
    adapted = load(str(tmp_path)).facts
    for file in tmp_path.glob("adapter_*"):
        file.unlink()
    bare = load(str(tmp_path)).facts
    assert bare.interventions == ()
    assert bare.weights_sha256 != adapted.weights_sha256


def apart(folder: Path) -> tuple[str, Path, Tensor]:
    """A base and an adapter in folders of their own."""
    expected = beside(folder / "both", **PLAIN)
    alone = folder / "adapter"
    alone.mkdir()
    for file in (folder / "both").glob("adapter_*"):
        file.rename(alone / file.name)
    change(alone, base_model_name_or_path="some/base")
    return str(folder / "both"), alone, expected


def test_an_adapter_from_elsewhere(tmp_path: Path) -> None:
    base, adapter, expected = apart(tmp_path)
    found = load(f"{base}@adapter={adapter}")
    assert torch.allclose(states_of(found.model, IDS), expected, atol=1e-5)
    assert found.facts.label == f"{base}@adapter={adapter}"
    assert found.facts.interventions[0].startswith("adapter adapter: LoRA of rank 4 merged into 6 modules")


def test_a_folder_with_an_adapter_only_says_so(tmp_path: Path) -> None:
    _, adapter, _ = apart(tmp_path)
    with pytest.raises(BadFile, match=rf"holds an adapter of some/base.*give some/base@adapter={adapter}"):
        load(str(adapter))
    byte_tokenizer().save_pretrained(adapter)
    with pytest.raises(BadFile, match="holds an adapter"):
        load(str(adapter))


def refused(folder: Path, error: type[CallerError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_dora": True}, "uses use_dora, which is not read.*merge_and_unload"),
        ({"peft_type": "IA3"}, "of the kind IA3"),
        ({"peft_type": None}, "of the kind None"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights=pissa"),
        ({"something_new": {"a": 1}}, "uses something_new"),
    ],
)
def test_kinds_that_are_not_merged(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    beside(tmp_path, **PLAIN)
    change(tmp_path, **settings)
    refused(tmp_path, ModelProblem, says)


def test_virtual_tokens_are_refused(tmp_path: Path) -> None:
    model = model_of("llama")
    save(tmp_path, model)
    get_peft_model(model, PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")).save_pretrained(tmp_path)
    refused(tmp_path, ModelProblem, "of the kind PROMPT_TUNING")


@pytest.mark.parametrize("settings", [{"r": 8}, {"lora_alpha": "much"}, {"r": 0}, {"lora_alpha": -1}])
def test_settings_that_do_not_fit(tmp_path: Path, settings: dict[str, Any]) -> None:
    beside(tmp_path, **PLAIN)
    change(tmp_path, **settings)
    refused(tmp_path, BadFile, "rank 8|lora_alpha must be a number|r must be a number")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    beside(tmp_path, **PLAIN)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    for changed, error, says in (
        ({f"{name}A.weight": torch.zeros(4, 31)}, BadFile, r"the adapter of .*q_proj is \[32, 31\]"),
        ({f"{name}C.weight": torch.zeros(4, 31)}, BadFile, "has no place in the model"),
        ({f"base_model.model.nowhere.lora_{s}.weight": torch.zeros(4, 4) for s in "AB"}, ModelProblem, "no module"),
    ):
        save_file(tensors | changed, file)
        refused(tmp_path, error, says)
    save_file({key: value for key, value in tensors.items() if key != f"{name}A.weight"}, file)
    refused(tmp_path, BadFile, "one of the two matrices")
    save_file({}, file)
    refused(tmp_path, BadFile, "holds no adapter")
    file.write_bytes(b"\x08")
    refused(tmp_path, BadFile, "cannot read the weights")
    file.unlink()
    refused(tmp_path, BadFile, r"no adapter_model\.safetensors")


def test_a_tied_weight_is_not_changed_in_both_its_places(tmp_path: Path) -> None:
    model = model_of("llama", tie_word_embeddings=True)
    save(tmp_path, model)
    get_peft_model(model, LoraConfig(target_modules=["lm_head"], **PLAIN)).save_pretrained(tmp_path)
    refused(tmp_path, ModelProblem, "shares its weight")


def test_specs_with_an_adapter() -> None:
    spec = SubjectSpec.parse("some/base@adapter=./lora@init=normal:1@ablate=norm_reset")
    assert (spec.source, spec.adapter, str(spec.init)) == ("some/base", "./lora", "normal:1")
    assert SubjectSpec.parse(str(spec)) == spec
    with pytest.raises(BadSpec, match="sets adapter 2 times"):
        SubjectSpec.parse("base@adapter=a@adapter=b")
    with pytest.raises(BadFile, match="@adapter=/no/such/place: no such directory"):
        load("config:llama@adapter=/no/such/place")
