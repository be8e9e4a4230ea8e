"""What a source gives, and how it is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """How to open a source."""

    dtype: Any
    """A torch dtype, or "auto" for the checkpoint's own."""
    seed: int = 0
    """Seeds the weights of a `config:` model."""
    revision: str | None = None
    trust_remote_code: bool = False
    adapter: Path | None = None
    """A folder with an adapter to lay over the weights."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model on the CPU and its tokenizer."""

    model: Any
    tokenizer: Any
    init: str = "trained"
    warnings: tuple[str, ...] = ()
    interventions: tuple[str, ...] = ()
    """What was laid over the weights: an adapter."""
