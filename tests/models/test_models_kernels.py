"""Kernels and the machine."""

import importlib.util

import pytest
import torch

from repflow.models import compiled, environment_facts, kernel_choices, load
from repflow.models.families import FAMILIES
from repflow.models.kernels import parallel_scan

needs_mambapy = pytest.mark.skipif(importlib.util.find_spec("mambapy") is None, reason="mambapy is not installed")


def test_every_family_has_a_choice_with_a_reason() -> None:
    choices = kernel_choices("cpu")
    assert {choice.family for choice in choices} == set(FAMILIES)
    assert all(choice.kernel and choice.reason for choice in choices)
    by_family = {choice.family: choice.kernel for choice in choices}
    assert ("numba" if compiled.available() else "sequential") in by_family["mamba"]
    assert "chunked" in by_family["mamba2"]
    assert "sdpa" in by_family["llama"]
    assert "sdpa" in by_family["jamba"]
    assert "scan" in by_family["jamba"]


def test_without_numba_the_selective_scan_is_sequential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: False)
    found = {choice.family: choice for choice in kernel_choices("cpu")}
    for family in ("mamba", "falcon_mamba", "jamba"):
        assert "sequential" in found[family].kernel
        assert found[family].advice == "pip install 'repflow[cpu]'"


@needs_mambapy
@pytest.mark.parametrize(("family", "mixers"), [("mamba", 4), ("jamba", 2), ("llama", 0)])
def test_the_parallel_scan_agrees_with_the_sequential_one(family: str, mixers: int) -> None:
    subject = load(f"config:{family},width=32")
    ids = torch.randint(0, 250, (2, 45), generator=torch.Generator().manual_seed(0))
    plain = subject.forward(ids).last_hidden_state
    with parallel_scan(subject.model) as switched:
        fast = subject.forward(ids).last_hidden_state
    assert switched == mixers
    assert torch.allclose(plain, fast, atol=1e-4)
    assert torch.equal(plain, subject.forward(ids).last_hidden_state), "switched back"


def test_the_machine() -> None:
    facts = environment_facts()
    assert {"python", "torch", "transformers", "repflow", "cpus", "memory", "cuda"} <= facts.keys()
    assert facts["torch"] == torch.__version__ or str(facts["torch"]) in torch.__version__
