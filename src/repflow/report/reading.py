"""A run as the page, the figures and notebooks read it, with what every study adds."""

from repflow.drawing import source
from repflow.drawing.source import RunLike, Source
from repflow.report.run import Run
from repflow.store import Run as StoredRun
from repflow.studies import catalogue


def read(run: RunLike, *, variants: bool = False) -> Source:
    """See `repflow.drawing.source.read`."""
    run = Run.of(run) if isinstance(run, StoredRun) else run
    return source.read(run, {study.name: study.read for study in catalogue.STUDIES}, variants=variants)
