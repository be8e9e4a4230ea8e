"""The hub: its local cache serves without a network, and each kind of trouble is one line."""

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from repflow.core import ModelProblem
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


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_a_cache_with_a_part_missing_asks_the_hub(snapshot: Path, lost: str) -> None:
    (snapshot / lost).unlink()
    with pytest.raises(ModelProblem, match="hub cannot be reached"):
        load("org/tiny")


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
