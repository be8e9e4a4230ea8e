"""A run as the page, the figures and notebooks read it, with what every study adds."""

from collections.abc import Sequence
from dataclasses import replace

from repflow.drawing import source
from repflow.drawing.labels import short_labels
from repflow.drawing.source import RunLike, Source, Subject
from repflow.drawing.style import styles
from repflow.report.run import Run
from repflow.store import Run as StoredRun
from repflow.studies import catalogue
from repflow.studies.kit.study import Study


def read(run: RunLike, *, variants: bool = False) -> Source:
    """See `repflow.drawing.source.read`."""
    run = Run.of(run) if isinstance(run, StoredRun) else run
    return source.read(run, {study.name: study.read for study in catalogue.STUDIES}, variants=variants)


def read_all(run: RunLike) -> list[tuple[str, Source]]:
    """The run itself, by the name "", and the runs inside it by theirs; a subject has one look and name in all."""
    parts = getattr(run, "parts", None) or {}
    return _alike([("", read(run)), *((str(name), read(part)) for name, part in parts.items())])


def subjects_of(parts: Sequence[tuple[str, Source]]) -> tuple[Subject, ...]:
    """Every subject of all parts once, in the order they are met."""
    return tuple({subject.label: subject for _, each in reversed(parts) for subject in each.subjects}[label]
                 for label in _labels(parts))  # fmt: skip


def _labels(parts: Sequence[tuple[str, Source]]) -> list[str]:
    return list(dict.fromkeys(subject.label for _, each in parts for subject in each.subjects))


def _alike(parts: list[tuple[str, Source]]) -> list[tuple[str, Source]]:
    if len(parts) == 1:
        return parts
    known: dict[str, Subject] = {}
    for _, each in parts:
        for subject in each.subjects:
            if subject.label not in known or not known[subject.label].facts:
                known[subject.label] = subject
    labels = _labels(parts)
    kinds = [known[label].kind for label in labels]
    looks = {
        label: replace(known[label], short=short, style=style)
        for label, short, style in zip(labels, short_labels(labels), styles(kinds), strict=True)
    }
    return [
        (name, replace(each, subjects=tuple(looks[subject.label] for subject in each.subjects))) for name, each in parts
    ]


def speaking(parts: Sequence[tuple[str, Source]], source: Source) -> list[Study]:
    """The studies that show a part. What every run has is shown of the run made for it, where one was."""
    made = {str(each.info.get("command")) for _, each in parts}
    return sorted(
        (
            study
            for study in catalogue.STUDIES
            if len(parts) == 1 or not study.common or study.name not in made or source.info.get("command") == study.name
        ),
        key=lambda each: each.common,
    )
