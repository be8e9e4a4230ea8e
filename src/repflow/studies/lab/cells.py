"""The cells of a grid: an architecture, a loss and a seed each, checked before any is trained."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from repflow.core import BadSetting, unknown
from repflow.core.quantities import TARGETS
from repflow.studies.lab.settings import FAMILIES, Norm, Of

LARGEST = 1024
_PART = re.compile(r"([0-9]{0,4})([ma])")
_SITES = re.compile(r"([01](?:\.[0-9]+)?)-([01](?:\.[0-9]+)?)")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Architecture:
    """One model of a grid, before its seed."""

    family: str = "bamba"
    """bamba (any layout of Mamba-2 mixers and attention), mamba2, mamba, llama or gpt_neox."""
    layout: str = ""
    """For bamba: what mixes tokens block by block, m for Mamba-2 and a for attention: `8m4a` or `(2ma)x4`."""
    depth: int = 8
    """Blocks; a layout says so itself."""
    width: int = 64
    """Width of the residual stream, a multiple of 32."""
    state: int = 32
    """States a head (Mamba-2) or a channel (Mamba); of no meaning for attention."""
    norm: str = "own"
    """own: as the class has them; frozen: their weights stay as drawn; none: no norms in the blocks, the last stays."""
    rate: float = 1.0
    """Learning rate, as a share of what the lab's other cells learn with; a model without norms needs a lower one."""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise unknown("family of a lab", self.family, FAMILIES)
        if self.norm not in get_args(Norm):
            raise unknown("norm of a lab", self.norm, get_args(Norm))
        if self.layout and self.family != "bamba":
            raise BadSetting(f"layout is for the family bamba; {self.family} has one kind of block")
        if self.norm == "none" and self.family not in ("llama", "gpt_neox"):
            raise BadSetting(f"norm none is for llama and gpt_neox; the mixers of {self.family} gate by their norm")
        for name, least in (("depth", 1), ("width", 32), ("state", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
                raise BadSetting(f"{name} must be a whole number from {least} to {LARGEST}, got {value!r}")
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not 0 < self.rate <= 10:
            raise BadSetting(f"rate must be a number above 0, 10 at most, got {self.rate!r}")
        if self.width % 32:
            raise BadSetting(f"width must be a multiple of 32, got {self.width}")
        if self.family == "bamba":
            object.__setattr__(self, "depth", len(self.blocks))

    @property
    def blocks(self) -> str:
        """A letter a block."""
        if self.family == "bamba":
            return blocks_of(self.layout) if self.layout else "m" * self.depth
        return ("a" if self.family in ("llama", "gpt_neox") else "m") * self.depth

    @property
    def attention(self) -> float:
        """Share of the blocks that attend."""
        return self.blocks.count("a") / self.depth


def blocks_of(layout: str) -> str:
    """`(2ma)x2` as mmamma. Raises BadSetting."""
    plain = layout.replace(" ", "")
    spread = re.sub(r"\(([0-9ma]+)\)x([0-9]{1,3})", lambda found: found[1] * int(found[2]), plain)
    parts = _PART.findall(spread)
    blocks = "".join(letter * (int(count) if count else 1) for count, letter in parts)
    if "".join(count + letter for count, letter in parts) != spread or not blocks:
        raise BadSetting(f"layout must be of m and a, with counts, like 8m4a or (2ma)x4; got {layout!r}")
    if len(blocks) > LARGEST:
        raise BadSetting(f"layout {layout!r} has {len(blocks):,} blocks; at most {LARGEST}")
    return blocks


@dataclass(frozen=True)
class Loss:
    """What is added to the loss of next tokens."""

    kind: str = "none"
    """none, fixed (one weight all along) or adaptive (a weight that holds the quantity at its target)."""
    of: str = "inter_token_cosine"
    """inter_token_cosine, contrastive_tokens, v_loc or v_glob."""
    weight: float = 0.1
    """Of a fixed loss; of an adaptive one the largest."""
    target: float | None = None
    """Of an adaptive loss: the value to hold, from above for what grows with likeness, from below for v_glob, v_loc."""
    sites: str | None = None
    """Where: `0.75-1` is the last quarter of the blocks; all by default."""

    def __post_init__(self) -> None:
        if self.kind not in ("none", "fixed", "adaptive"):
            raise unknown("kind of loss", self.kind, ("none", "fixed", "adaptive"))
        if self.of not in get_args(Of):
            raise unknown("quantity of a loss", self.of, get_args(Of))
        if not isinstance(self.weight, int | float) or not 0 < self.weight < 1000:
            raise BadSetting(f"weight must be above 0 and below 1000, got {self.weight!r}")
        if (self.kind == "adaptive") != (self.target is not None):
            raise BadSetting("an adaptive loss needs a target, and only it has one")
        if self.sites is not None:
            ends = _SITES.fullmatch(str(self.sites))
            if not ends or not float(ends[1]) < float(ends[2]) <= 1:
                raise BadSetting(f"sites must be a range of depth like 0.75-1, got {self.sites!r}")
        low, high = TARGETS[self.of]
        if self.target is not None and not (type(self.target) in (int, float) and low <= self.target <= high):
            raise BadSetting(f"the target of {self.of} must be from {low:g} to {high:g}, got {self.target!r}")


@dataclass(frozen=True)
class Cell:
    """A model to train and measure."""

    architecture_name: str
    loss_name: str
    seed: int
    architecture: Architecture
    loss: Loss
    trained: bool = True
    """False: measured as drawn."""

    @property
    def name(self) -> str:
        """The subject's name in every table."""
        loss = "" if self.loss_name == "none" else f"+{self.loss_name}"
        return f"{self.architecture_name}{loss}:{self.seed}"


@dataclass(frozen=True)
class Grid:
    """Everything that is trained, in order."""

    name: str
    question: str
    tokens: int
    cells: tuple[Cell, ...]
    visits: int = 9
    """Measurements of a training, the first before it, the last at its end."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def reference(self) -> str:
        """The architecture that the others are compared with: the first."""
        return self.cells[0].architecture_name

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> "Grid":
        """From the contents of a YAML file. Raises BadSetting or UnknownName, naming the place."""
        known = ("question", "tokens", "seeds", "visits", "architectures", "losses", "untrained")
        for key in given:
            if key not in known:
                raise unknown("key of a grid", str(key), known)
        architectures = _named(given.get("architectures"), "architectures", Architecture)
        untrained = _named(given.get("untrained") or {}, "untrained", Architecture)
        losses = _named(given.get("losses") or {"none": {}}, "losses", Loss)
        if not architectures and not untrained:
            raise BadSetting("the grid has no architectures")
        seeds = given.get("seeds", [0])
        if not isinstance(seeds, list) or not seeds or not all(type(s) is int and 0 <= s < 2**32 for s in seeds):
            raise BadSetting(f"seeds must be a list of whole numbers of 0 or more, got {seeds!r}")
        if len(set(seeds)) < len(seeds):
            raise BadSetting(f"a seed is given twice: {seeds}")
        both = set(architectures) & set(untrained)
        if both:
            raise BadSetting(f"{min(both)} is among architectures and untrained; name each once")
        visits = given.get("visits", cls.visits)
        if type(visits) is not int or not 2 <= visits <= 1000:
            raise BadSetting(f"visits must be a whole number from 2 to 1,000, got {visits!r}")
        tokens = given.get("tokens", 2_000_000)
        if type(tokens) is not int or not 10_000 <= tokens <= 10**12:
            raise BadSetting(f"tokens must be a whole number of 10,000 or more, got {tokens!r}")
        cells = [
            Cell(a, loss, seed, architectures[a], losses[loss])
            for seed in seeds
            for loss in losses
            for a in architectures
        ]
        for cell in cells:
            _check_sites(cell)
        cells += [Cell(a, "none", seed, untrained[a], Loss(), trained=False) for seed in seeds for a in untrained]
        return cls(name, str(given.get("question", "")), tokens, tuple(cells), visits, dict(given))


def _check_sites(cell: Cell) -> None:
    """Raises BadSetting where a loss would read no block of an architecture."""
    ends = _SITES.fullmatch(cell.loss.sites or "0-1")
    depths = [(block + 1) / cell.architecture.depth for block in range(cell.architecture.depth)]
    if ends and not any(float(ends[1]) <= depth <= float(ends[2]) for depth in depths):
        raise BadSetting(
            f"losses, {cell.loss_name}: no block of {cell.architecture_name} lies at depth {cell.loss.sites}; they lie "
            f"at {', '.join(f'{depth:.2f}' for depth in depths[:8])}"
        )


def _named(given: Any, place: str, kind: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadSetting(f"{place} must hold a name and settings each, got {given!r}")
    found: dict[str, Any] = {}
    for name, options in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadSetting(f"{place}: a name is lower-case letters, digits, dots and dashes, got {name!r}")
        if not isinstance(options or {}, dict):
            raise BadSetting(f"{place}, {name}: needs settings by name, got {options!r}")
        names = [f.name for f in fields(kind)]
        for key in options or {}:
            if key not in names:
                raise unknown(f"setting of {name} in {place}", str(key), names)
        try:
            found[name] = kind(**(options or {}))
        except BadSetting as error:
            raise BadSetting(f"{place}, {name}: {error}") from error
    return found
