"""The settings of `paper`: one sentence a field, the same in Python, on the command line and in a YAML file."""

from dataclasses import dataclass, field
from typing import Literal

from repflow.core import BadSetting, unknown
from repflow.studies.kit.fields import at_least, some_once
from repflow.studies.kit.settings import ZOO, KeepSettings, ModelSettings, OutputSettings

PARTS = ("flow", "flow-hf", "probe-kvpr", "probe-mdqa", "attribute", "ablate", "dynamics")
"""The runs inside the run, in the order of the work."""


@dataclass(frozen=True)
class StudySettings:
    """How much is measured."""

    preset: Literal["quick", "full", "original"] = "quick"
    """quick: minutes for small models; full: more text, contexts, draws and changes; original: the paper's five."""
    parts: tuple[str, ...] = PARTS
    """Runs to make: flow, flow-hf, probe-kvpr, probe-mdqa, attribute, ablate, dynamics; claims need theirs."""
    text: tuple[str, ...] = ()
    """Files (text, JSON Lines, CSV, TSV, parquet) or hf:DATASET[:CONFIG][:SPLIT]; without it six built-in texts."""
    context: int | None = None
    """Tokens a piece of text, in place of the preset's."""
    examples: int | None = None
    """Pieces of text, in place of the preset's; intervals need 30 or more, of different units."""
    kvpr_contexts: tuple[int, ...] = ()
    """The most tokens of a key-value prompt, several at once, in place of the preset's."""
    mdqa_contexts: tuple[int, ...] = ()
    """The most tokens of a prompt with documents, several at once, in place of the preset's."""
    sets: int | None = None
    """Sets of pairs, and questions, in place of the preset's; each is read with its gold at every position."""
    keys: Literal["preset", "auto", "uuid", "hex8", "hex4", "pairs"] = "preset"
    """Generated keys and values: hex4 in quick and full, uuid in original; auto and others as in probe."""
    kvpr_data: str | None = None
    """A published file for kvpr, read instead of generating prompts."""
    mdqa_data: str | None = None
    """A published file for mdqa, read instead of the built-in passages."""
    seed: int = 0
    """Seeds examples, draws of weights, splits and bootstrap weights of every part."""

    def __post_init__(self) -> None:
        some_once("parts", self.parts)
        for part in self.parts:
            if part not in PARTS:
                raise unknown("part", part, PARTS)
        for name, contexts in (("kvpr-contexts", self.kvpr_contexts), ("mdqa-contexts", self.mdqa_contexts)):
            if contexts:
                some_once(name, contexts)
            for context in contexts:
                at_least("context", context, 4)
        for name in ("context", "examples", "sets"):
            given = getattr(self, name)
            if given is not None:
                at_least("examples" if name == "sets" else name, given, 4 if name == "context" else 1)
        at_least("seed", self.seed, 0)


@dataclass(frozen=True)
class PaperSettings:
    """Make the whole study of arXiv 2510.06640 on any models, and say which of the paper's claims hold for them.

    Example: repflow paper zoo:pythia-tiny zoo:mamba2-tiny --preset quick --out runs/paper

    It makes one run directory with ordinary runs inside: flow (and flow over Hugging Face's list of states), probes of
    key-value retrieval and of questions over documents in growing contexts, weights drawn anew, norms and attention
    changed, transitions and bounds; then a table of the claims, each with the statistic that decides it. --resume goes
    on with what is missing; a run inside that is there is not made again.

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tuple[str, ...] = ZOO
    """Models: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., without @init."""
    study: StudySettings = field(default_factory=StudySettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    keep: KeepSettings = field(default_factory=KeepSettings)

    def __post_init__(self) -> None:
        if not self.subjects:
            raise BadSetting("needs at least one subject")
        if len(set(self.subjects)) < len(self.subjects):
            raise BadSetting(f"a subject is named twice: {', '.join(self.subjects)}")
        drawn = [subject for subject in self.subjects if "@init=" in subject]
        if drawn:
            raise BadSetting(f"{drawn[0]}: paper draws weights anew by itself; name the model without @init")
