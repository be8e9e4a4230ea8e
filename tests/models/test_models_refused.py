"""Models that are not what repflow measures, or cannot be had here: one line, before anything is allocated."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import SIZES, model_of, save, saved
from transformers import AutoConfig, AutoModel

from repflow.core import BadFile, BadSetting, CallerError, ModelProblem
from repflow.models import load
from repflow.models.byte_tokenizer import byte_tokenizer

SEQ2SEQ = {
    "vocab_size": 259,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
T5 = {"vocab_size": 259, "d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 64}
ENCODER = {
    "vocab_size": 259,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
PICTURES = {**ENCODER, "image_size": 32, "patch_size": 16}


def refused(spec: str, says: str, error: type[CallerError] = ModelProblem, **options: Any) -> None:
    with pytest.raises(error, match=says) as caught:
        load(spec, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("family", "settings", "says"),
    [
        (
            "whisper",
            {**SEQ2SEQ, "num_mel_bins": 16},
            r"decoder\.layers\.0\.encoder_attn reads an enc",
        ),
        ("bart", SEQ2SEQ, "decoder of an encoder-decoder"),
        ("pegasus", SEQ2SEQ, "decoder of an encoder-decoder"),
        ("marian", SEQ2SEQ, "decoder of an encoder-decoder"),
        ("trocr", SEQ2SEQ, "decoder of an encoder-decoder"),
        ("t5", T5, "t5 is an encoder-decoder in transformers"),
        ("bert", ENCODER, "is not causal.*as in an encoder"),
        ("roberta", ENCODER, "is not causal"),
        ("electra", ENCODER, "is not causal"),
        ("vit", PICTURES, "vit is no causal language model"),
        ("clip", {}, "clip is no causal language model"),
        ("wav2vec2", {}, "wav2vec2 is no causal language model"),
    ],
)
def test_what_is_no_causal_language_model(tmp_path: Path, family: str, settings: dict[str, Any], says: str) -> None:
    from transformers import AutoModelForCausalLM

    config = AutoConfig.for_model(family, **settings)
    if type(config) in AutoModelForCausalLM._model_mapping:
        save(tmp_path, AutoModelForCausalLM.from_config(config))
    else:
        config.save_pretrained(tmp_path)
        save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
        byte_tokenizer().save_pretrained(tmp_path)
    refused(str(tmp_path), says)


@pytest.mark.parametrize("family", ["bart", "whisper"])
def test_a_whole_encoder_decoder_is_not_read_as_its_decoder(tmp_path: Path, family: str) -> None:
    more = {"num_mel_bins": 16} if family == "whisper" else {}
    save(tmp_path, AutoModel.from_config(AutoConfig.for_model(family, **SEQ2SEQ, **more)))
    refused(str(tmp_path), "encoder-decoder")


def test_a_decoder_built_for_an_encoder_is_refused(tmp_path: Path) -> None:
    model = model_of("gpt2", n_head=4, add_cross_attention=True)
    refused(save(tmp_path, model), r"transformer\.h\.0\.crossattention reads an encoder")


def rewrite(folder: Path, **settings: Any) -> str:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return str(folder)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    saved(tmp_path, "llama")
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_hidden_layers": 10**20}, r"num_hidden_layers is 1e\+20, and no model goes beyond 10,000"),
        ({"num_hidden_layers": 9_000}, "more than 1,000 parts"),
        ({"vocab_size": 10**12}, "vocab_size is 1e"),
        ({"vocab_size": 10**7}, "describes .* parameters, its weights are"),
        ({"hidden_size": 10**9}, "hidden_size is 1e"),
        ({"hidden_size": 10**5}, "at least .* of memory|describes .* parameters"),
        ({"intermediate_size": 10**7}, "describes .* parameters"),
        ({"num_attention_heads": 10**8}, "num_attention_heads is"),
        ({"hidden_size": 64}, r"is \[.*\] in the checkpoint and \[.*\] by its config"),
        ({"num_hidden_layers": 3}, "lacks 9 of the model's tensors"),
        ({"num_hidden_layers": 0}, "holds no blocks"),
        ({"num_attention_heads": 0}, "ZeroDivisionError|cannot"),
        ({"num_hidden_layers": -1}, "cannot|holds no blocks"),
    ],
)
def test_numbers_of_a_config(llama: Path, settings: dict[str, Any], says: str) -> None:
    refused(rewrite(llama, **settings), says)


def test_numbers_inside_a_composite_config(llama: Path) -> None:
    refused(rewrite(llama, text_config={"num_hidden_layers": 10**20}), r"text_config\.num_hidden_layers")


@pytest.mark.parametrize(
    "spec",
    [
        "config:llama,layers=100000000000000000000",
        "config:mamba,layers=20000",
        "config:gpt2,width=100000000",
        "config:llama,vocab=1000000000000",
        "config:llama,num_key_value_heads=1000000000",
    ],
)
def test_numbers_of_a_random_model(spec: str) -> None:
    refused(spec, "no model goes beyond|of memory, this machine has")


def test_a_random_model_larger_than_the_machine() -> None:
    refused("config:llama,layers=2,width=1048576,heads=64,intermediate_size=1048576", "of memory, this machine has")


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "compressed-tensors", "hqq", "quanto", "aqlm"])
def test_quantised_weights_without_their_package(llama: Path, method: str) -> None:
    config = {"quant_method": method, "bits": 4, "load_in_4bit": True, "group_size": 32}
    refused(rewrite(llama, quantization_config=config), r"cannot (load|build)")


@pytest.mark.parametrize("config", [3, [], "gptq", {"bits": 4}])
def test_quantisation_that_cannot_be_read(llama: Path, config: Any) -> None:
    refused(rewrite(llama, quantization_config=config), r"cannot|model_type")


def test_a_missing_variant_names_what_is_there(llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "model.fp16.safetensors")
    refused(str(llama), r"expected model\.safetensors.*found model\.fp16\.safetensors", BadFile)
    (llama / "model.fp16.safetensors").rename(llama / "model-00001-of-00002.safetensors")
    refused(str(llama), r"model\.safetensors\.index\.json and the files it names, found model-00001", BadFile)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({}, "weight_map must give"),
        ({"weight_map": []}, "weight_map must give"),
        ({"weight_map": "model.safetensors"}, "weight_map must give"),
        ({"weight_map": {}}, "weight_map must give"),
        ({"weight_map": {"a": 3}}, "weight_map must give"),
        ({"weight_map": {"a": ["model.safetensors"]}}, "weight_map must give"),
        ({"weight_map": {"a": "../../etc/passwd"}}, "no file of weights beside it"),
        ({"weight_map": {"a": "config.json"}}, "no file of weights beside it"),
        ({"weight_map": {"a": "other.safetensors"}}, r"no such file: .*other\.safetensors"),
        ([], "must hold a JSON object"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_indices_of_weights(llama: Path, index: Any, says: str, whole: bool) -> None:
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    if not whole:
        (llama / "model.safetensors").unlink()
    refused(str(llama), says, BadFile)


def test_pickled_weights(llama: Path) -> None:
    tensors = load_file(llama / "model.safetensors")
    before = load(str(llama)).facts.weights_sha256
    (llama / "model.safetensors").unlink()
    torch.save(tensors, llama / "pytorch_model.bin")
    assert load(str(llama)).facts.weights_sha256 == before
    file = llama / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-400])
    refused(str(llama), "cannot read the weights", BadFile)
    torch.save({"model": Path("/a/b")}, file)
    refused(str(llama), "cannot read the weights", BadFile)
    torch.save([1, 2], file)
    refused(str(llama), "hold no tensors|cannot read the weights", BadFile)


def test_a_first_pass_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    spec = saved(tmp_path, "llama")

    def fail(*_: Any, **__: Any) -> None:
        raise NotImplementedError("no such kernel\nhere")

    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", fail)
    refused(spec, r"cannot read .*, its first pass fails: no such kernel here")
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", lambda *_: {}["nothing"])
    refused(spec, r"its first pass fails: KeyError")


def test_memory_that_runs_out_says_so(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    refused(str(llama), "out of memory")


def test_interruptions_pass(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", stop)
    with pytest.raises(KeyboardInterrupt):
        load(str(llama))


def test_sizes_of_real_models_pass() -> None:
    from repflow.models.sources.checkpoint import check_numbers

    check_numbers(SIZES | {"num_hidden_layers": 126, "max_position_embeddings": 10**8, "rope_theta": 10**12}, "here")
    check_numbers({"vocab_size": 262_144, "num_experts": 512, "tokens_trained": 10**13}, "here")
    with pytest.raises(ModelProblem, match="num_experts"):
        check_numbers({"num_experts": 20_000}, "here")


def test_settings_of_a_random_model_that_do_not_go_together() -> None:
    refused("config:llama,width=48,heads=5", "cannot be built", BadSetting)
