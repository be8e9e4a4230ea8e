"""What the command-line tests share: commands run in this process, and what a refusal must look like."""

from pathlib import Path

import pytest
import torch

from repflow.cli import main
from repflow.models import load

TINY = "config:pythia,layers=2,width=32"
QUICK = ("--examples", "6", "--context", "48", "--calibration", "2", "--replicates", "40", "--no-report")


class Refusal:
    """Runs `repflow flow SUBJECT --out OUT ARGUMENTS` and hands back the one line it says."""

    def __init__(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.out = out
        self.capsys = capsys

    def __call__(self, *arguments: object, subjects: tuple[object, ...] = (TINY,)) -> str:
        """Nothing may be left behind: not the run directory, not the folder above it."""
        self.capsys.readouterr()
        assert not self.out.parent.exists()
        assert main(["flow", *map(str, subjects), "--out", str(self.out), *map(str, arguments)]) == 2
        line = only_line(self.capsys)
        assert not self.out.parent.exists(), "nothing half-written"
        return line


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error: a run's progress may stand before it, and stdout is empty."""
    said = capsys.readouterr()
    assert said.out == ""
    *before, line = said.err.splitlines()
    assert all(text.startswith("loading ") or text.endswith((" examples", "done")) for text in before), said.err
    assert line.startswith("repflow: ")
    return line


def model_folder(folder: Path, spec: str = TINY, spoiled: int | None = None) -> Path:
    """A tiny random model as a directory; the embedding of token `spoiled` is NaN."""
    subject = load(spec)
    if spoiled is not None:
        with torch.no_grad():
            subject.model.get_input_embeddings().weight[spoiled] = torch.nan
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    return folder
