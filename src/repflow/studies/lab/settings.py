"""What a lab can be told: families, norms and quantities of a grid, and the settings of the command."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from repflow.core import BadSetting
from repflow.studies.kit.fields import at_least
from repflow.studies.kit.settings import FREE, OutputSettings

FAMILIES = ("bamba", "mamba2", "mamba", "llama", "gpt_neox")
Norm = Literal["own", "frozen", "none"]
Of = Literal["inter_token_cosine", "contrastive_tokens", "v_loc", "v_glob"]


@dataclass(frozen=True)
class LabPlace:
    """From what and on what, and what is kept."""

    data: Path = Path("data")
    """Folder with texts (.txt) and questions (.jsonl) to learn from; its folder wikitext-2 is left out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    workers: int = 1
    """Cells trained at once, each in a process of one thread."""
    only: tuple[str, ...] = ()
    """Train these cells of the grid alone (`NAME:SEED`, as --plan lists them); the run stays unfinished."""
    weights: bool = False
    """Keep the trained models beside the run, in OUT-models/CELL, in bfloat16."""
    plan: bool = False
    """List the cells and how long they will take, judged by a few steps of each architecture, and stop."""

    def __post_init__(self) -> None:
        at_least("workers", self.workers, 1)


@dataclass(frozen=True)
class LabSettings:
    """Train a grid of small models, and measure how each homogenises and retrieves.

    Example: repflow lab hybrids --data texts --out runs/hybrids
    """

    grid: str = "hybrids"
    """A preset (hybrids, norms, regularisers, regularisers-ssm, scaling, scaling-trained), or a YAML file of
    architectures, losses and seeds."""
    place: LabPlace = field(default_factory=LabPlace)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        if not self.grid:
            raise BadSetting("needs a grid: a preset or a YAML file")


LAB_FREE = FREE | {"device", "workers", "only", "weights", "plan", "data"}
"""Settings a resumed run may change."""
