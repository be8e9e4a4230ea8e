"""repflow dynamics from the command line: what it prints and leaves, and one line for every mistake."""

from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tools import TINY, only_line

from repflow.cli import main
from repflow.store import open_run

QUICK = ("--examples", "4", "--context", "40", "--replicates", "40", "--no-report")


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: str, subject: str = TINY) -> str:
    """Runs `repflow dynamics`, which must fail for the caller's mistake and leave nothing; hands back its line."""
    capsys.readouterr()
    assert main(["dynamics", subject, "--out", str(out), *arguments]) == 2
    line = only_line(capsys)
    assert not out.parent.exists(), "nothing half-written"
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--influence-tokens -1", ["--influence-tokens must be at least 0, got -1"]),
        ("--directions 0", ["--directions must be at least 1, got 0"]),
        ("--max-distnace 3", ["unknown option --max-distnace", "did you mean --max-distance"]),
        ("--tokens al", ["unknown token policy 'al'", "did you mean all"]),
        ("--context 3000", [f"{TINY} was trained on 2048 positions", "lower --context"]),
        ("--text nowhere.txt", ["nowhere.txt"]),
    ],
)
def test_a_mistake_is_one_line(out: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: list[str]) -> None:
    line = refused(capsys, out, *arguments.split())
    assert all(text in line for text in said), line


def test_kernels_without_a_backward_are_refused_before_anything_is_measured(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("selective_scan_fwd has no backward\nsecond line")

    monkeypatch.setattr(torch.autograd, "grad", without)
    line = refused(capsys, out, *QUICK)
    for text in (TINY, "no gradient passes through its kernels (selective_scan_fwd has no backward)", "--device cpu"):
        assert text in line
    assert "second line" not in line
    assert main(["dynamics", TINY, "--out", str(out), "--influence-tokens", "0", *QUICK]) == 0


def test_what_it_prints_and_leaves(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mamba = "config:mamba,layers=2,width=32"
    assert main(["dynamics", mamba, f"{TINY}@init=normal:1", "--out", str(out), *QUICK]) == 0
    said = capsys.readouterr()
    for text in ("half-life, shortest", "1 - rho, least", "recency slope", "envelope used", "poincare used"):
        assert text in said.out
    assert f"{TINY}@init=normal:1 has no state-space block" in said.err
    assert "more for its influence" in said.err
    run = open_run(out)
    assert set(run.table("influence")["init"]) == {"config:0", "normal:1"}
    assert main(["show", str(out)]) == 0
    assert "recency slope" in capsys.readouterr().out


def test_ablated_subjects_are_measured_too(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject = f"{TINY}@ablate=attention_self"
    assert main(["dynamics", subject, "--out", str(out), *QUICK]) == 0
    capsys.readouterr()
    influence = open_run(out).table("influence").set_index("distance")["value"]
    assert influence[0] > 0
    assert (influence[1:] == 0).all(), "a token that attends to itself alone knows nothing of the others"


def test_settings_from_a_file(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"subjects: {TINY}\ncontext: 40\nexamples: 4\nreport: false\nmax_distance: 9\n", encoding="utf-8")
    assert main(["dynamics", "--config", str(config), "--max-distance", "5", "--out", str(out)]) == 0
    capsys.readouterr()
    assert open_run(out).table("influence")["distance_to"].max() == 5
