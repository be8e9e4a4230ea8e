"""Finished runs to read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_rows import MakeRun

from repflow.core import LayerRow, PairRow, PathRow
from repflow.store import Run, RunWriter, open_run


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A finished run from its rows, each in a directory of its own."""

    def make(
        name: str,
        layers: list[LayerRow],
        info: dict[str, Any],
        *,
        pairs: list[PairRow] | None = None,
        paths: list[PathRow] | None = None,
        replicates: dict[str, np.ndarray] | None = None,
        findings: list[dict[str, Any]] | None = None,
    ) -> Run:
        with RunWriter.create(tmp_path / name, {"seed": 0}, "flow") as writer:
            writer.finish(layers, pairs or [], paths or [], info, findings or [], replicates=replicates)
        return open_run(tmp_path / name)

    return make
