"""Which kernels each family will run on this machine, and why; and what the machine is."""

import functools
import importlib.util
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from repflow.models import compiled
from repflow.models.families import FAMILIES

_SELECTIVE_SCAN = ("mamba", "falcon_mamba", "jamba")
_CHUNKED_SCAN = ("mamba2", "bamba", "zamba2", "falcon_h1", "nemotron_h")
_PARALLEL_SCAN = ("mamba", "jamba")
"""Families whose mixers take mambapy's scan. FalconMamba has the setting, but its config drops it on construction."""

_VERSIONED = (
    "repflow",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "gguf",
    "mambapy",
    "numba",
    "mamba_ssm",
)


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """What a family's sequence mixing runs on here."""

    family: str
    kernel: str
    reason: str
    advice: str = ""
    """What to install for something faster; empty where there is nothing to gain."""


def kernel_choices(device: str = "auto") -> tuple[KernelChoice, ...]:
    """One choice for every registered family, on `cpu`, `cuda` or whichever `auto` finds."""
    import torch

    cuda = device != "cpu" and torch.cuda.is_available()
    return tuple(_choice(name, cuda) for name in FAMILIES)


def _choice(family: str, cuda: bool) -> KernelChoice:
    attention = "; attention: torch sdpa" if FAMILIES[family].kind == "hybrid" else ""
    if family in _SELECTIVE_SCAN:
        choice = _selective(family, cuda)
    elif family in _CHUNKED_SCAN:
        choice = _chunked(family, cuda)
    elif family == "recurrent_gemma":
        choice = KernelChoice(family, "step-by-step linear recurrence in torch", "transformers has no other")
    elif family == "rwkv":
        choice = KernelChoice(family, "step-by-step recurrence in torch", "transformers has no other on a CPU")
    else:
        choice = KernelChoice(family, "torch sdpa attention", "transformers' default; repflow passes no mask")
    return KernelChoice(family, choice.kernel + attention, choice.reason, choice.advice)


def _selective(family: str, cuda: bool) -> KernelChoice:
    if cuda and _fused():
        return KernelChoice(family, "mamba_ssm selective scan (CUDA)", "mamba_ssm and causal_conv1d are installed")
    if not cuda and compiled.available():
        return KernelChoice(family, "selective scan compiled by numba", "no CUDA; numba is installed")
    if family not in _PARALLEL_SCAN:
        reason = "its config ignores mambapy"
    elif _installed("mambapy"):
        reason = "measured no slower than mambapy's parallel scan without gradients; training uses mambapy"
    else:
        reason = "mambapy is not installed, and would only speed up training"
    advice = "pip install mamba-ssm causal-conv1d" if cuda else "pip install 'repflow[cpu]'"
    return KernelChoice(family, "sequential selective scan in torch", _absent(cuda) + reason, advice)


def _chunked(family: str, cuda: bool) -> KernelChoice:
    if cuda and _fused():
        return KernelChoice(family, "mamba_ssm chunked scan (CUDA)", "mamba_ssm and causal_conv1d are installed")
    advice = "pip install mamba-ssm causal-conv1d" if cuda else ""
    return KernelChoice(
        family, "chunked scan in torch", _absent(cuda) + "transformers' own, parallel in chunks", advice
    )


def _absent(cuda: bool) -> str:
    return "mamba_ssm or causal_conv1d is not installed; " if cuda else "no CUDA; "


def _fused() -> bool:
    return _installed("mamba_ssm") and _installed("causal_conv1d")


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@contextmanager
def parallel_scan(model: Any) -> Iterator[int]:
    """Runs a Mamba or Jamba model's scans through mambapy inside, where installed: faster in training.

    Yields how many mixers were switched; 0 where mambapy is absent or the family has no such scan. Without gradients
    the sequential scan is as fast or faster, which is why loading leaves it alone.
    """
    mixers = [m for m in model.modules() if getattr(m, "use_mambapy", None) is False] if _installed("mambapy") else []
    for mixer in mixers:
        mixer.use_mambapy = True
    try:
        yield len(mixers)
    finally:
        for mixer in mixers:
            mixer.use_mambapy = False


def environment_facts() -> dict[str, str | int | None]:
    """Versions, processors and memory of this machine, for the record of a run. Memory in bytes, None where unknown."""
    import torch

    cuda = torch.cuda.is_available()
    facts: dict[str, str | int | None] = {"python": platform.python_version(), "platform": platform.platform()}
    facts.update({name: _version(name) for name in _VERSIONED})
    facts["cuda"] = torch.version.cuda if cuda else None
    facts["gpu"] = torch.cuda.get_device_name(0) if cuda else None
    facts["gpu_memory"] = torch.cuda.get_device_properties(0).total_memory if cuda else None
    facts["cpus"] = _cpus()
    facts["torch_threads"] = torch.get_num_threads()
    facts["memory"] = machine_memory()
    return facts


@functools.cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpus() -> int | None:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def machine_memory() -> int | None:
    """Bytes of physical memory; None where that cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
