"""repflow ablate from the command line: what it prints and leaves, and one line for every mistake."""

from pathlib import Path

import pytest
from cli_tools import TINY, only_line

from repflow.cli import main
from repflow.store import open_run

QUICK = ("--examples", "4", "--context", "40", "--replicates", "40", "--metrics", "inter_token_cosine")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--what norm_rest", ["unknown intervention 'norm_rest'", "did you mean norm_reset"]),
        ("--what attention_window", ["attention_window", "tokens of 1 or more, got none"]),
        ("--what norm_reset norm_reset", ["--what names norm_reset twice"]),
        ("--what norm_reset:block.5", ["no block.5", "block.0 to block.1"]),
        ("--what ssm_no_conv", ["gpt_neox has none", "norm_reset", "attention_self"]),
        ("--what norm_reset:final --each-block", ["--each-block says where norm_reset:final is made"]),
        ("--windows 0", ["--windows must be at least 1, got 0"]),
        ("--metrics cosine", ["unknown metric 'cosine'"]),
        ("--whats norm_reset", ["unknown option --whats", "did you mean --what"]),
    ],
)
def test_a_slip_is_one_line_and_leaves_nothing(
    arguments: str, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "run"
    quick = [] if "--metrics" in arguments else QUICK
    assert main(["ablate", f"{TINY}@init=normal:1", "--out", str(out), *arguments.split(), *quick]) == 2
    line = only_line(capsys)
    for words in said:
        assert words in line
    assert not out.parent.exists(), "nothing half-written"


def test_a_lone_change_that_breaks_the_model_says_which_block_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--what", "residual_scaled:1e38,block.1", "--out", str(tmp_path / "run"), *QUICK)
    assert main(["ablate", f"{TINY}@init=normal:1", *asked]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("repflow:")]
    assert len(lines) == 1
    assert "non-finite states in 4 of 4 examples, first in example 0 at block.1; the change is too much" in lines[0]


def test_a_run_leaves_tables_and_a_report_and_prints_its_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "run", tmp_path / "settings.yaml"
    file.write_text("what: [norm_reset+residual_scaled:0.5]\nwindows: 4\n", encoding="utf-8")
    assert main(["ablate", TINY, "--config", str(file), "--out", str(out), *QUICK]) == 0
    said = capsys.readouterr()
    assert "2 changes to measure, about" in said.err
    for words in ("attention_window:4", "before, and the difference a change makes"):
        assert words in said.out
    run = open_run(out)
    assert run.info["command"] == "ablate"
    assert set(run.table("ablations")["what"]) == {"norm_reset+residual_scaled:0.5", "attention_window:4"}
    assert "What each change does" in (out / "report.html").read_text(encoding="utf-8")
