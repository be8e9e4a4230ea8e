"""Tiny models and short settings for attribution runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from repflow.models import load

TINY = {"gpt_neox": "config:gpt_neox,layers=3,width=32", "mamba2": "config:mamba2,layers=3,width=32"}
QUICK: dict[str, Any] = {"examples": 8, "context": 32, "calibration": 2, "replicates": 40}


def saved(folder: Path, spec: str, change: Any = None) -> str:
    """A random model as a directory, so that it counts as trained; perhaps changed before."""
    subject = load(spec)
    if change is not None:
        with torch.no_grad():
            change(subject.model)
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    return str(folder)


def trainings(folder: Path, seeds: Sequence[int] = (7, 8, 9), spec: str = TINY["gpt_neox"]) -> list[str]:
    """Directories of models of one architecture that stand for trainings of it."""
    return [saved(folder / f"training-{seed}", f"{spec}@init=config:{seed}") for seed in seeds]
