"""repflow attribute from the command line: what it prints and leaves, and one line for every mistake."""

from pathlib import Path

import pytest
from cli_tools import TINY, only_line

from repflow.cli import main
from repflow.store import open_run

QUICK = ("--examples", "8", "--context", "32", "--calibration", "2", "--replicates", "40")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--schemes kaimin", ["unknown initialisation scheme 'kaimin'", "did you mean kaiming"]),
        ("--schemes config config", ["--schemes names config twice"]),
        ("--seeds 0", ["--seeds must be at least 1, got 0"]),
        ("--examples 0", ["--examples must be at least 1"]),
        ("--metrics norm", ["unknown option --metrics"]),
        ("--same-architecture", ["--same-architecture takes two or more trainings together, got 1"]),
        ("--scheme config", ["unknown option --scheme", "did you mean --schemes"]),
        ("--context 3000", [f"{TINY} was trained on 2048 positions", "lower --context"]),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: str, said: list[str]
) -> None:
    out = tmp_path / "runs" / "one"
    assert main(["attribute", TINY, "--out", str(out), *arguments.split()]) == 2
    line = only_line(capsys)
    assert all(text in line for text in said), line
    assert not out.parent.exists(), "nothing half-written"


def test_a_subject_drawn_already(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["attribute", f"{TINY}@init=normal", "--out", str(tmp_path / "run")]) == 2
    assert f"name {TINY} and choose --schemes" in only_line(capsys)


def test_a_run_is_printed_and_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    yaml = tmp_path / "settings.yaml"
    yaml.write_text(f"subjects: {TINY}\nschemes: [config, permuted]\nseeds: 4\n", encoding="utf-8")
    assert main(["attribute", "--config", str(yaml), "--seeds", "3", *QUICK, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "6 draws (2 schemes, 3 seeds)" in said.err
    assert "random less trained weights, centred" in said.out
    assert "Power: no trained value is clearly above 0" in said.out or "Power with 2 draws" in said.out
    assert "is random already" in said.out
    run = open_run(out)
    assert run.settings["schemes"] == ["config", "permuted"]
    assert run.settings["seeds"] == 3
    assert len(run.table("shares")) == 2 * 2 * 3 * 2, "thirds of two blocks, schemes, variants, policies"
    assert run.report is not None
    assert (
        main(
            [
                "attribute",
                TINY,
                "--schemes",
                "config",
                "permuted",
                "--seeds",
                "3",
                *QUICK,
                "--out",
                str(out),
                "--resume",
            ]
        )
        == 0
    )
    assert "nothing to measure" in capsys.readouterr().err
