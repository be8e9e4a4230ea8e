"""The hub: its local cache serves without a network, and each kind of trouble is one line."""

import json
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants

from repflow.core import CallerError, ModelProblem
from repflow.models import load

COMMIT = "a" * 40
SMALL = "config:llama,layers=2,width=16"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cached snapshot of org/tiny, as a download leaves it."""
    repository = tmp_path / "models--org--tiny"
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    subject = load(SMALL)
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    return folder


def test_a_cached_model_needs_no_network(snapshot: Path) -> None:
    assert (snapshot / "config.json").is_file()
    cached, plain = load("org/tiny"), load(SMALL)
    assert cached.facts.weights_sha256 == plain.facts.weights_sha256
    assert (cached.facts.label, cached.facts.init) == ("org/tiny", "trained")
    assert load(f"org/tiny@revision={COMMIT}").facts.label == f"org/tiny@revision={COMMIT}"
    borrowed = load("config:mamba,layers=2,width=16,tokenizer=org/tiny")
    assert borrowed.facts.tokenizer_sha256 == plain.facts.tokenizer_sha256


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("model.safetensors", "no weights in"),
        ("tokenizer.json", "no tokenizer in"),
        ("config.json", "not in the local cache"),
    ],
)
def test_a_cache_with_a_part_missing_asks_the_hub(snapshot: Path, lost: str, says: str) -> None:
    (snapshot / lost).unlink()
    with pytest.raises(ModelProblem, match=rf"{says}.*hub cannot be reached"):
        load("org/tiny")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", "{", r"cannot read .*config\.json"),
        ("config.json", '{"model_type": "nobody"}', "model_type 'nobody'"),
        ("config.json", '{"model_type": "t5"}', "t5 is an encoder-decoder"),
        ("tokenizer.json", "{", "cannot read the tokenizer"),
        ("model.safetensors", "no", "cannot read the weights"),
        ("adapter_config.json", '{"peft_type": "IA3"}', "of the kind IA3"),
    ],
)
def test_a_broken_part_of_the_cache_is_the_error(snapshot: Path, name: str, content: str, says: str) -> None:
    (snapshot / name).unlink(missing_ok=True)
    (snapshot / name).write_text(content)
    with pytest.raises(CallerError, match=says) as caught:
        load("org/tiny")
    assert "hub" not in str(caught.value)


def test_an_adapter_in_the_cache_names_its_base(snapshot: Path) -> None:
    for file in snapshot.iterdir():
        file.unlink()
    (snapshot / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "org/base"}')
    with pytest.raises(CallerError, match="holds an adapter of org/base and no model; give org/base@adapter="):
        load("org/tiny")


@pytest.mark.parametrize("sharded", [False, True])
def test_what_is_fetched(snapshot: Path, monkeypatch: pytest.MonkeyPatch, sharded: bool) -> None:
    """The files that are read, and no other copies of the weights."""
    there = {file.name for file in snapshot.iterdir()}
    if sharded:
        there = there - {"model.safetensors"} | {"model.safetensors.index.json", "model-00001-of-00001.safetensors"}
        index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
        (snapshot / "index").write_text(json.dumps(index))
    more = {
        "pytorch_model.bin",
        "model.fp16.safetensors",
        "onnx/model.onnx",
        "original/params.json",
        "README.md",
        "tf.h5",
    }
    siblings = [SimpleNamespace(rfilename=name) for name in there | more]
    asked: list[set[str]] = []

    def fetch(_: str, *, revision: str, allow_patterns: list[str]) -> str:
        assert revision == COMMIT
        asked.append(set(allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha=COMMIT, siblings=siblings)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(snapshot / "index"))
    assert load("org/elsewhere").facts.n_blocks == 2
    assert asked == [there]
    load("config:mamba,layers=2,width=16,tokenizer=org/elsewhere")
    assert asked[1] == {name for name in there if name.endswith(".json")}


class TransportError(Exception):
    """Stands for the HTTP client's own class of this name."""


class ConnectError(TransportError): ...


def trouble(kind: str) -> Exception:
    from huggingface_hub import errors

    if kind == "ConnectError":
        return ConnectError("[Errno -2] Name or service not known")
    cls = getattr(errors, kind)
    return cls.__new__(cls, kind)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("ConnectError", "cannot be reached"),
        ("OfflineModeIsEnabled", "cannot be reached"),
        ("RepositoryNotFoundError", "no model org/other on the Hugging Face hub"),
        ("RevisionNotFoundError", "no revision 'v9'"),
        ("GatedRepoError", "is gated"),
    ],
)
def test_troubles_with_the_hub(kind: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise trouble(kind)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    with pytest.raises(ModelProblem, match=says) as caught:
        load("org/other@revision=v9")
    assert "\n" not in str(caught.value)
