"""Where models come from, and one clear line for everything that is wrong with them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repflow.core import BadFile, BadSetting, BadSpec, CallerError, ModelProblem, UnknownName
from repflow.models import load
from repflow.models.byte_tokenizer import byte_tokenizer
from repflow.models.sources import gguf as _gguf

SMALL = "config:llama,layers=2,width=16"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    subject = load(SMALL, seed=2)
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refused(spec: str, error: type[CallerError], says: str, **options: object) -> None:
    with pytest.raises(error, match=says) as caught:
        load(spec, **options)  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_saved_model_comes_back_the_same(saved: Path) -> None:
    before, after = load(SMALL, seed=2), load(str(saved))
    assert after.facts.weights_sha256 == before.facts.weights_sha256
    assert after.facts.tokenizer_sha256 == before.facts.tokenizer_sha256
    assert (before.facts.init, after.facts.init) == ("config:2", "trained")
    assert after.facts.warnings == ()
    assert load(SMALL, seed=3).facts.weights_sha256 != before.facts.weights_sha256


def test_loading_leaves_the_global_generator_and_the_log_level_alone(saved: Path) -> None:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    for spec in (SMALL, str(saved), f"{saved}@init=xavier:1", f"{saved}@init=config:1"):
        load(spec)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)


def test_dtypes(saved: Path) -> None:
    assert load(str(saved)).facts.dtype == "float32"
    half = load(str(saved), dtype="bfloat16")
    assert half.facts.dtype == "bfloat16"
    assert half.hf_reason == ""
    assert load(SMALL, dtype="bfloat16").facts.dtype == "bfloat16"


def test_a_spec_in_low_precision_draws_the_same_values_rounded() -> None:
    full, half = load(f"{SMALL}@init=kaiming:1"), load(f"{SMALL}@init=kaiming:1", dtype="bfloat16")
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(full.model.get_parameter(name).bfloat16(), half.model.get_parameter(name))


@pytest.mark.parametrize("keep", [0, 4, 100, -8])
def test_truncated_safetensors(broken: Path, keep: int) -> None:
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(str(broken), BadFile, r"cannot read the weights .*model\.safetensors")


def test_absent_parts_of_a_directory(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(str(tmp_path / "empty"), BadFile, r"no such file: .*config\.json")
    (broken / "tokenizer.json").unlink()
    refused(str(broken), BadFile, r"no tokenizer in .*expected tokenizer\.json")
    (broken / "model.safetensors").unlink()
    refused(str(broken), BadFile, r"no weights in .*expected model\.safetensors")


def test_broken_json(broken: Path) -> None:
    (broken / "tokenizer.json").write_text("{")
    refused(str(broken), BadFile, "cannot read the tokenizer")
    (broken / "config.json").write_text("{")
    refused(str(broken), BadFile, r"cannot read .*config\.json")
    (broken / "config.json").write_text("[]")
    refused(str(broken), BadFile, "must hold a JSON object")


def test_an_absent_shard_is_named(broken: Path) -> None:
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(str(broken), BadFile, r"model-00001-of-00002\.safetensors")


def test_an_unknown_architecture(broken: Path) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "model_type": "nobody"}))
    refused(str(broken), ModelProblem, "model_type 'nobody'")


def test_tensors_that_would_be_random_are_refused(broken: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(broken / "model.safetensors")
    lost = tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    refused(str(broken), ModelProblem, r"lacks 1 of the model's tensors, e\.g\. model\.layers\.1\.mlp\.up_proj\.weight")
    save_file(
        {**tensors, "model.layers.1.mlp.up_proj.weight": lost, "spare": torch.zeros(1)},
        broken / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert load(str(broken)).facts.warnings == ("1 tensors of the checkpoint are not used, e.g. spare",)


def test_weights_of_another_shape(broken: Path) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    refused(str(broken), ModelProblem, "do not belong together")


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("config:nofamily", UnknownName, "unknown family 'nofamily'"),
        ("config:mamba3", UnknownName, "did you mean mamba,"),
        ("zoo:nothing", UnknownName, "unknown zoo model"),
        ("config:gpt2,layerz=3", UnknownName, "did you mean layers"),
        ("config:gpt2,layers=0", BadSetting, "n_layer must be a whole number"),
        ("config:gpt2,layers=two", BadSetting, "n_layer must be a whole number"),
        ("config:gpt2,layers=2,n_layer=3", BadSetting, "twice"),
        ("config:mamba,positions=10", BadSetting, "no setting for positions"),
        ("config:gpt2,vocab=100", BadSetting, "vocab_size=100 is smaller than the tokenizer's 259"),
        ("config:llama,width=48,heads=5", BadSetting, "cannot be built"),
        ("config:mamba2,num_heads=3", BadSetting, "num_heads"),
        ("config:gpt2,tokenizer=config:gpt2", BadSetting, "no tokenizer of its own"),
        ("config:gpt2@ablate=norm_rest", UnknownName, "did you mean norm_reset"),
        ("config:gpt2@revision=main", BadSetting, "needs a hub id"),
        ("/no/such/place", BadFile, "no such model directory"),
        ("not a model", BadSpec, "neither a path"),
        ("someone/not-cached-anywhere", ModelProblem, "hub cannot be reached.*directory"),
    ],
)
def test_specs_that_cannot_be_loaded(spec: str, error: type[CallerError], says: str) -> None:
    refused(spec, error, says)


def test_settings_that_cannot_be_met() -> None:
    refused(SMALL, BadSetting, "--dtype", dtype="int8")
    refused(SMALL, BadSetting, "--device", device="tpu")
    if not torch.cuda.is_available():
        refused(SMALL, BadSetting, "no CUDA", device="cuda")


def test_modules_named_by_hand() -> None:
    assert load(SMALL, blocks="model.layers", final_norm="norm").taps == load(SMALL).taps
    refused(SMALL, ModelProblem, "no module 'layerz'", blocks="layerz", final_norm="norm")


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        ("config:pythia,width=768,layers=12,vocab=50304", 162_322_944),
        ("config:mamba,width=768,layers=24,vocab=50280", 129_135_360),
        ("config:mamba2,width=768,layers=24,vocab=50288", 128_989_632),
        ("config:gpt2,width=768,layers=12,vocab=50257", 124_439_808),
        ("config:gpt_neo,width=768,layers=12,vocab=50257", 125_198_592),
    ],
)
def test_the_usual_sizes_are_the_usual_models(spec: str, parameters: int) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from repflow.models.families import config_settings, family
    from repflow.models.spec import parse_config_source

    name, options = parse_config_source(spec)
    chosen = family(name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(chosen.name, **config_settings(chosen, options)))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.01)


def test_a_config_model_with_somebodys_tokenizer(saved: Path) -> None:
    subject = load(f"config:mamba,layers=2,width=16,tokenizer={saved}")
    assert subject.facts.tokenizer_sha256 == load(str(saved)).facts.tokenizer_sha256
    assert subject.model.get_input_embeddings().weight.shape[0] == len(subject.tokenizer)


@given(st.text())
def test_bytes_round_trip(text: str) -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_byte_ids_are_the_bytes() -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.encode("aé\n") == list("aé\n".encode())
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, len(tokenizer)) == (
        256,
        257,
        258,
        259,
    )
    assert sorted(tokenizer.all_special_ids) == [256, 257, 258]


def test_gguf_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"garbage, not a model")
    refused(str(file), BadFile, "is not a GGUF file")
    file.write_bytes(b"GGUF" + bytes(range(60)))
    refused(str(file), BadFile, r"cannot read .*m\.gguf.*complete")


def test_gguf_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" + bytes(60))
    monkeypatch.setattr(_gguf.importlib.util, "find_spec", lambda _name: None)
    refused(str(file), ModelProblem, r"needs gguf and accelerate: pip install 'repflow\[gguf\]'")
