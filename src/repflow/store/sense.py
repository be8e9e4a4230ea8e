"""Runs without checksums may hold anything: what their readers make of it is told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from repflow.core import BadFile
from repflow.store.run import Run
from repflow.store.seal import is_sealed

_NONSENSE = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@contextmanager
def making_sense(*runs: Any) -> Iterator[None]:
    """Turn an error of the block into a BadFile, where one of the runs is old and may be damaged.

    A run with checksums holds what was written, and an error is repflow's own.
    """
    unchecked = [run for run in runs if isinstance(run, Run) and not is_sealed(run.info)]
    try:
        yield
    except _NONSENSE as error:
        if not unchecked:
            raise
        told = (str(error).splitlines() or [""])[0]
        raise BadFile(
            f"{unchecked[0].directory} was written without checksums and holds what does not fit together "
            f"({type(error).__name__}: {told}); run the study again"
        ) from error
