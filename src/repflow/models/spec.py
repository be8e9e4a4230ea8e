"""A subject as a frozen, printable recipe.

`SOURCE[@adapter=DIR][@init=SCHEME[:SEED][+keep]][@ablate=NAME[:ARG]]...[@revision=REV]`
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repflow.core import BadFile, BadSpec, unknown

SCHEMES = ("config", "kaiming", "normal", "orthogonal", "permuted", "xavier")
"""The re-initialisation schemes, by name."""
GENERIC = ("kaiming", "normal", "orthogonal", "xavier")
"""Those that know nothing of the family or of the training."""

SourceKind = Literal["config", "directory", "gguf", "hub", "zoo"]

_MODIFIERS = ("ablate", "adapter", "init", "revision")
_TRAILING = re.compile(r"(?s)(?P<source>.*)@(?P<key>[A-Za-z_]+)=(?P<value>[^@]*)\Z")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_KEEP, _MATCHED = "+keep", "+matched"
_FORM = "a spec reads SOURCE[@adapter=DIR][@init=SCHEME[:SEED][+keep]][@ablate=NAME[:ARG]]...[@revision=REV]"


@dataclass(frozen=True, slots=True)
class Init:
    """Weights drawn anew: a scheme of `SCHEMES` and its seed, written `normal:0` or `normal:0+keep`."""

    scheme: str
    seed: int = 0
    keep: bool = False
    """Leave as trained what the scheme has no rule of its own for (A_log, D, dt_bias, sinks, routing biases)."""
    matched: bool = False
    """Drawn at the trained scale, which takes examples to tell: `attribute` does it, a spec cannot ask for it."""

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise unknown("initialisation scheme", self.scheme, SCHEMES)
        if self.seed < 0:
            raise BadSpec(f"the seed of init={self.scheme} must be 0 or more, got {self.seed}")

    def __str__(self) -> str:
        return f"{self.scheme}:{self.seed}{_KEEP if self.keep else ''}{_MATCHED if self.matched else ''}"

    @property
    def name(self) -> str:
        """The scheme, and whether it is at the trained scale."""
        return self.scheme + (_MATCHED if self.matched else "")


@dataclass(frozen=True, slots=True)
class Ablation:
    """An intervention by name, with its argument as written, if any."""

    name: str
    argument: str | None = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name}:{self.argument}"


@dataclass(frozen=True, slots=True)
class SubjectSpec:
    """One model under study. `str(spec)` is its label and reads back as an equal spec."""

    source: str
    """Hub id, local directory, `file.gguf`, `zoo:NAME` or `config:FAMILY[,key=value]...`, as written."""
    init: Init | None = None
    ablations: tuple[Ablation, ...] = ()
    revision: str | None = None
    adapter: str | None = None
    """A directory with a LoRA adapter that is merged into the weights, as written."""

    @classmethod
    def parse(cls, text: str) -> "SubjectSpec":
        """Reads a spec. A path that exists wins over reading `@` as a separator.

        Raises BadSpec when it cannot be read, UnknownName for a scheme or modifier that is not known.
        """
        rest, found = _strip_modifiers(text.strip())
        if not rest:
            raise BadSpec(f"the subject {text!r} has no source; {_FORM}")
        for key in ("adapter", "init", "revision"):
            if len(found[key]) > 1:
                raise BadSpec(f"the subject {text!r} sets {key} {len(found[key])} times; keep one")
        init = _parse_init(found["init"][0], text) if found["init"] else None
        ablations = tuple(_parse_ablation(value) for value in found["ablate"])
        revision, adapter = (found[key][0] if found[key] else None for key in ("revision", "adapter"))
        return cls(rest, init, ablations, revision, adapter)

    def __str__(self) -> str:
        init = "" if self.init is None else f"@init={self.init}"
        ablations = "".join(f"@ablate={a}" for a in self.ablations)
        revision = "" if self.revision is None else f"@revision={self.revision}"
        adapter = "" if self.adapter is None else f"@adapter={self.adapter}"
        return f"{self.source}{adapter}{init}{ablations}{revision}"

    @property
    def label(self) -> str:
        """The subject's name in every row."""
        return str(self)


def source_kind(source: str) -> SourceKind:
    """What a source is. Looks at the file system to tell a directory from a hub id.

    Raises BadFile for a path that is not there or not a model, BadSpec for what can be neither path nor hub id.
    """
    if source.startswith("config:"):
        return "config"
    if source.startswith("zoo:"):
        return "zoo"
    path = Path(source).expanduser()
    if source.endswith(".gguf"):
        if not path.is_file():
            raise BadFile(f"no such GGUF file: {source}")
        return "gguf"
    if path.is_dir():
        return "directory"
    if path.exists():
        raise BadFile(f"{source} is neither a .gguf file nor a directory with config.json and weights")
    if source.startswith(("/", ".", "~")) or source.count("/") > 1:
        raise BadFile(f"no such model directory: {source}")
    if not _HUB_ID.fullmatch(source):
        raise BadSpec(f"{source!r} is neither a path that exists nor a hub id (ORG/NAME); {_FORM}")
    return "hub"


def parse_config_source(source: str) -> tuple[str, dict[str, object]]:
    """Family and options of `config:FAMILY[,key=value]...`.

    Values are JSON where they read as JSON (numbers, true, false, null, lists, quoted strings), True, False and None
    as in Python, and plain strings otherwise. Commas inside brackets or quotes belong to the value.
    """
    family, *items = _split_commas(source.removeprefix("config:"))
    if not family:
        raise BadSpec(f"{source!r} names no family; write config:FAMILY, e.g. config:mamba2")
    options: dict[str, object] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise BadSpec(f"{item!r} in {source!r} is not key=value")
        if key in options:
            raise BadSpec(f"{source!r} sets {key} twice")
        options[key] = _parse_value(value)
    return family, options


def _strip_modifiers(text: str) -> tuple[str, dict[str, list[str]]]:
    found: dict[str, list[str]] = {key: [] for key in _MODIFIERS}
    while not _exists(text) and (match := _TRAILING.match(text)):
        key, value = match["key"], match["value"]
        if key not in found:
            raise unknown("subject modifier", key, _MODIFIERS)
        if not value:
            raise BadSpec(f"@{key}= in {text!r} has no value; {_FORM}")
        found[key].insert(0, value)
        text = match["source"]
    return text, found


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _parse_init(value: str, text: str) -> Init:
    if value.endswith("+recurrence"):
        raise BadSpec(f"every scheme draws the recurrence's parameters too; drop +recurrence from @init={value}")
    if value.endswith(_MATCHED):
        raise BadSpec(f"@init={value}: the trained scale is told from examples; repflow attribute draws {_MATCHED}")
    keep = value.endswith(_KEEP)
    scheme, colon, seed = value.removesuffix(_KEEP).partition(":")
    if not colon:
        return Init(scheme, keep=keep)
    if not re.fullmatch(r"[0-9]{1,18}", seed):
        raise BadSpec(f"the seed in @init={value} of {text!r} must be a whole number of 0 or more")
    return Init(scheme, int(seed), keep)


def _parse_ablation(value: str) -> Ablation:
    name, colon, argument = value.partition(":")
    if not name:
        raise BadSpec(f"@ablate={value} names no intervention; {_FORM}")
    return Ablation(name, argument if colon else None)


def _split_commas(text: str) -> list[str]:
    """Splits at the commas that are outside brackets and double quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif not quoted:
            depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    if depth or quoted:
        raise BadSpec(f"unbalanced brackets or quotes in {text!r}")
    return parts


def _parse_value(text: str) -> object:
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except ValueError:
        return text
