"""CKA between the subjects of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from repflow.core import Example, NotEnoughData, Origin, Site, SubjectFacts
from repflow.engines import Progress
from repflow.metrics import cross_example_cka, cross_token_cka
from repflow.metrics.example_rows import Grams
from repflow.metrics.token_grams import GramBank
from repflow.studies.flow.estimate import cross_rows
from repflow.studies.kit.record import Tables
from repflow.studies.kit.settings import MeasureSettings
from repflow.studies.kit.units import Units


@dataclass(frozen=True)
class Measured:
    """What comparing two subjects on one task needs of each."""

    origin: Origin
    tokenizer: str
    sites: tuple[Site, ...]
    prompts: tuple[tuple[int, str], ...]
    """Each example by id: its text, or its token ids where it keeps no text."""
    tokens: GramBank | None
    examples: Grams | None
    units: Units

    @classmethod
    def of(
        cls,
        origin: Origin,
        facts: SubjectFacts,
        sites: tuple[Site, ...],
        examples: Sequence[Example],
        states: dict[str, Any],
        units: Units,
    ) -> "Measured":
        prompts = tuple((example.id, example.prompt or str(hash(example.ids))) for example in examples)
        rows = states.get("example_cka") if "token_grams" in states else None
        return cls(origin, facts.tokenizer_sha256, sites, prompts, states.get("token_grams"), rows, units)

    @property
    def cell(self) -> tuple[str, int]:
        return self.origin.task, self.origin.context


def cross_tables(
    measured: Sequence[Measured], settings: MeasureSettings, warn: Callable[[str], None], progress: Progress
) -> Tables:
    """Rows for every two subjects that read the same examples of a task."""
    tables = Tables()
    for a, b in combinations([m for m in measured if m.examples is not None], 2):
        if a.cell == b.cell:
            progress.note(f"comparing {a.origin.subject} with {b.origin.subject} on {a.origin.task}")
            _compare(tables, a, b, settings, warn)
    return tables


def _compare(tables: Tables, a: Measured, b: Measured, settings: MeasureSettings, warn: Callable[[str], None]) -> None:
    names = f"{a.origin.subject} and {b.origin.subject} on {a.origin.task}"
    one_tokenizer = a.tokenizer == b.tokenizer
    if not one_tokenizer and a.prompts != b.prompts:
        warn(f"{names}: no CKA between them, their tokenizers cut the task into different examples")
        return
    draws = (settings.seed, settings.replicates, settings.permutations)
    units = {**(a.units.of or {}), **(b.units.of or {})}
    worse = min(a.units, b.units, key=lambda found: found.effective)
    sides = (a.origin, b.origin, a.sites, b.sites)
    try:
        if a.examples is not None and b.examples is not None:
            found = cross_example_cka(a.examples, b.examples, *draws, units)
            tables.pairs += cross_rows(*sides, "example", "all", found, worse)
        if one_tokenizer and a.tokens is not None and b.tokens is not None:
            for p, policy in enumerate(settings.tokens):
                found = cross_token_cka(a.tokens, b.tokens, p, *draws, units)
                tables.pairs += cross_rows(*sides, "token", policy, found, worse)
    except NotEnoughData as reason:
        warn(f"{names}: {reason}")
