"""Fixtures of the command-line tests."""

from pathlib import Path

import pytest
import torch
from cli_tools import Refusal


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "run"


@pytest.fixture
def refused(out: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(out, capsys)
