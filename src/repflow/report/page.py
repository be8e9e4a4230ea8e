"""What the template of the page is given: sections with their panels, the bar's choices, the overview, the facts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from repflow.core.quantities import HF_NOTE, QUANTITIES, SOURCES, Quantity
from repflow.drawing.labels import slug
from repflow.drawing.panel import Panel, Section, View
from repflow.drawing.source import Scene, Source, Subject
from repflow.report import facts, overview
from repflow.report.answers import first_screen, reads_hf
from repflow.report.reading import speaking, subjects_of
from repflow.store import warning_lines
from repflow.studies import catalogue
from repflow.studies.kit.study import Answer, Study

BARRED = ("raw", "centred", "standardised")
_FINDING_KEYS = ("subject", "claim", "value", "interval", "threshold", "verdict")


@dataclass(frozen=True)
class Part:
    """A run of the page: the one it is of, or one inside it."""

    name: str
    source: Source
    studies: Sequence[Study]
    """Those that speak of it, those first that add to the rows of every run."""

    @property
    def prefix(self) -> str:
        return f"{slug(self.name)}-" if self.name else ""


@dataclass(frozen=True)
class Placed:
    """A section with the ids of its panels, and what the script draws from."""

    part: Part
    section: Section
    subjects: Mapping[str, int]
    scenes: Sequence[Scene]

    @property
    def id(self) -> str:
        return f"{self.part.prefix}{self.section.anchor}"

    @property
    def panels(self) -> list[tuple[str, Panel]]:
        return [(f"{self.id}-{panel.key}", panel) for panel in self.section.panels]

    @property
    def data(self) -> dict[str, Any]:
        """Panels by id; `subjects` turns the numbers in the names of traces into those of the page."""
        numbers = [self.subjects.get(s.label, -1) for s in self.part.source.subjects]
        views = {id: [self.view(view) for view in panel.views] for id, panel in self.panels}
        return {"subjects": numbers, "panels": views}

    def view(self, view: View) -> dict[str, Any]:
        """What the script needs of a view."""
        told = {"said": view.said, "ramp": view.ramp, "figures": view.figures, "choice": view.choice}
        text = {} if view.text is None else {"text": view.text.packed()}
        return {**self.choices(view), **{key: value for key, value in told.items() if value}, **text}

    def choices(self, view: View) -> dict[str, Any]:
        """Of what a view is: its tokens, variant, task and context, and its panel's own choice."""
        scene = {"scene": self.scenes.index(view.scene)} if view.scene in self.scenes else {}
        own = view.choice if view.own is None else view.own
        return {"tokens": view.tokens, "own": own, "variant": view.variant, **scene}

    def owns(self, panel: Panel) -> list[str]:
        """What the panel itself lets choose."""
        return list(dict.fromkeys(self.choices(view)["own"] for view in panel.views))

    def shown_with(self, full: str) -> str:
        """The numbers of the subjects with which a cell named so is hidden."""
        return " ".join(str(self.subjects[name]) for name in full.split(" × ") if name in self.subjects)


class Page:
    """Of one run, or of a run and those inside it."""

    def __init__(self, parts: Sequence[tuple[str, Source]]) -> None:
        self.subjects: tuple[Subject, ...] = subjects_of(parts)
        self.numbers = {subject.label: place for place, subject in enumerate(self.subjects)}
        self.parts = [Part(name, source, speaking(parts, source)) for name, source in parts]
        found = [(part, section) for part in self.parts for study in part.studies
                 for section in study.sections(part.source)]  # fmt: skip
        drawn = [part for part in self.parts if len(self.parts) == 1 or not reads_hf(part.source.info)]
        self._multiples = [
            (part.prefix, row) for part in drawn for study in part.studies for row in study.overview(part.source)
        ]
        self.scenes = self._scenes([section for _, section in found])
        self.sections = [Placed(part, section, self.numbers, self.scenes) for part, section in found]

    def _scenes(self, sections: Sequence[Section]) -> list[Scene]:
        stored = [scene for part in self.parts for scene in part.source.scenes]
        viewed = [view.scene for section in sections for panel in section.panels for view in panel.views if view.scene]
        drawn = [state.scene for _, row in self._multiples for state in row.states if state.scene]
        return list(dict.fromkeys([*stored, *viewed, *drawn]))

    @cached_property
    def answers(self) -> tuple[list[Answer], list[Answer]]:
        """Those for the first screen, and the others."""
        return first_screen([(part.name, part.source) for part in self.parts])

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(scene.task for scene in self.scenes))

    @property
    def contexts(self) -> list[int]:
        return sorted({scene.context for scene in self.scenes})

    @property
    def policies(self) -> list[str]:
        return list(dict.fromkeys(policy for part in self.parts for policy in part.source.policies))

    @cached_property
    def variants(self) -> list[str]:
        """Those of the bar that some panel has."""
        views = [view for placed in self.sections for panel in placed.section.panels for view in panel.views]
        seen = {view.variant for view in views} | {state.variant for _, row in self._multiples for state in row.states}
        return [name for name in BARRED if name in seen]

    @property
    def head(self) -> dict[str, Any]:
        """What the script needs at once."""
        return {
            "scenes": [{"task": s.task, "context": s.context, "title": s.title} for s in self.scenes],
            "subjects": [s.short for s in self.subjects],
            "sections": [placed.id for placed in self.sections],
        }

    @cached_property
    def columns(self) -> list[overview.Column]:
        drawn = {
            each.subject for _, row in self._multiples for state in row.states for each in (*state.curves, *state.maps)
        }
        return overview.columns_of(self.subjects, drawn)

    @property
    def grouped(self) -> bool:
        """Whether columns are kinds, and the bar shows these first."""
        return any(len(column.subjects) > 1 for column in self.columns)

    @cached_property
    def overview(self) -> list[tuple[overview.Row, Any]]:
        """The rows, each with the cells that stand there at first."""
        rows = overview.rows_of(self._multiples, self.columns, self.scenes)
        return [(row, overview.at_first(row)) for row in rows]

    @property
    def overview_data(self) -> list[Any]:
        return [row.states for row, _ in self.overview]

    @property
    def metrics(self) -> set[str]:
        frames = [f for part in self.parts for f in (part.source.layers, part.source.pairs, part.source.paths)]
        return {str(metric) for frame in frames for metric in frame["metric"].unique()}

    @property
    def quantities(self) -> list[Quantity]:
        return [q for metric, q in QUANTITIES.items() if metric in self.metrics]

    @property
    def sources(self) -> str:
        return " ".join(said for metric, said in SOURCES.items() if metric in self.metrics)

    @property
    def methods(self) -> list[str]:
        found = [study.methods(part.source) for part in self.parts for study in part.studies]
        return list(dict.fromkeys(filter(None, found)))

    @property
    def note(self) -> str:
        """Where the whole page is of Hugging Face's list; of a run inside, its sections say so."""
        return HF_NOTE if reads_hf(self.parts[0].source.info) else ""

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What each part was, for the end of the page."""
        return [_facts(part) for part in self.parts]

    @property
    def subject_facts(self) -> list[tuple[Subject, dict[str, str]]]:
        return [(subject, facts.subject_facts(subject)) for subject in self.subjects]


def _facts(part: Part) -> dict[str, Any]:
    source = part.source
    heads, times = facts.timings(source)
    told = frozenset[str]().union(*(study.told for study in catalogue.STUDIES))
    findings = [f for f in source.findings if f.get("id") not in told]
    return {
        "name": part.name,
        "id": part.prefix,
        "tasks": facts.tasks(source),
        "units": facts.units(source),
        "timing_heads": heads,
        "timings": times,
        "info": _details(source.info),
        "warnings": list(warning_lines(source.info)),
        "findings": findings,
        "finding_keys": [k for k in _FINDING_KEYS if any(f.get(k) not in (None, "") for f in findings)],
    }


def _details(info: Mapping[str, Any]) -> str:
    """The settings and circumstances as indented JSON."""
    kept = {k: info[k] for k in ("command", "settings", "versions", "seed", "host", "schema_version") if k in info}
    return json.dumps(kept, indent=2, ensure_ascii=False, default=str) if kept else ""
