"""Two runs set side by side, by the names people use for runs and subjects; the result shows itself in notebooks."""

from pathlib import Path
from typing import Any

import pandas as pd

from repflow.core import BadSetting, CallerError, local_path, unknown
from repflow.drawing.labels import short_labels
from repflow.report.run import Run
from repflow.store import Run as StoredRun
from repflow.store import compare, name_of


class Comparison(pd.DataFrame):
    """The rows that two runs share: a frame as `repflow.store.compare` returns it. Parts of it are plain frames."""

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        """The headline, a figure by depth and the table, for notebooks."""
        from repflow.report.compare_page import fragment

        return fragment(self)

    def write_html(self, path: str | Path) -> Path:
        """Write a page that opens offline; returns its path. Raises BadFile when it cannot be written."""
        from repflow.report.compare_page import write

        return write(self, local_path(path))


def compared(
    a: StoredRun,
    b: StoredRun,
    *,
    metric: str | None = None,
    subject_a: str | None = None,
    subject_b: str | None = None,
) -> Comparison:
    """See `repflow.store.compare`; subjects may be named shortly, as tables and the page name them."""
    first, second = subject_of(a, subject_a), subject_of(b, subject_b)
    frame = compare(a, b, metric=metric, subject_a=first, subject_b=second)
    found = Comparison(frame)
    found.attrs = {**frame.attrs, "runs": {"a": name_of(a.directory), "b": name_of(b.directory)}}
    return found


def subject_of(run: StoredRun, name: str | None) -> str | None:
    """The label of a subject named by its label, by the name in tables, or by the end of its path; None for none.

    Raises UnknownName, or BadSetting for a name that several subjects have.
    """
    labels = [str(subject.get("label")) for subject in run.subjects]
    if name is None or name in labels:
        return name
    shorts = dict(zip(labels, short_labels(labels), strict=True))
    found = [label for label in labels if name in (shorts[label], label.removeprefix("zoo:"))]
    found = found or [label for label in labels if label.endswith(f"/{name}")]
    if len(found) > 1:
        raise BadSetting(f"{name} may be {' or '.join(found)} of {run.directory}; write it in full")
    if not found:
        raise unknown(f"subject of {run.directory}", name, shorts.values())
    return found[0]


def placed(text: str, first: Run | None = None) -> tuple[Run, str | None]:
    """A run, and perhaps one of its subjects, from `DIR`, `DIR:SUBJECT`, or a SUBJECT of the first run.

    Raises BadFile for what is none of these.
    """
    if text.startswith("zoo:training"):
        _, _, subject = text.removeprefix("zoo:training").partition(":")
        return Run.load("zoo:training"), subject or None
    if not local_path(text).is_dir():
        for place in (i for i, letter in enumerate(text) if letter == ":" and i > 0):
            if local_path(text[:place]).is_dir():
                return Run.load(text[:place]), text[place + 1 :]
        if first is not None and _among(first, text):
            return first, text
    return Run.load(text), None


def _among(run: Run, name: str) -> bool:
    try:
        return subject_of(run, name) is not None
    except CallerError:
        return False
