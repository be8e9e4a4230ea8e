"""What is printed: names with escapes, line ends and right-to-left overrides in them steer no terminal."""

import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from repflow.cli import main
from repflow.cli.progress import Lines
from repflow.core import LayerRow, PathRow
from repflow.store import RunWriter

NAMES = ("=1+1\x1b[2J\u202egnp.exe", "-m\x9b31m\nrepflow: all is well")
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]")


def row(subject: str, index: int) -> LayerRow:
    place = ("embed", "block.0", "block.1")[index]
    about = (subject, "gpt2", "trained", "text\x1b]0;x\x07", 64, place, index, index / 2)
    return LayerRow(*about, "inter_token_cosine", "raw", "all", 0.25 * index, 0.1, 0.6, 40, 640)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose subjects, task, warnings, findings and settings are all somebody's."""
    directory = tmp_path / "run\x1b[31m"
    layers = [row(name, index) for name in NAMES for index in range(3)]
    paths = [PathRow(name, "text\x1b]0;x\x07", 64, "v_loc", "rms", "all", -0.5, -0.6, -0.4, 40) for name in NAMES]
    subjects = [{"label": name, "kind": "TBM\x1b[0m", "init": "trained", "n_blocks": 2, "width": 8} for name in NAMES]
    info = {"subjects": subjects, "tasks": [], "seed": 0, "warnings": [f"{NAMES[1]}: rough\x1b[5m"]}
    findings = [{"id": "x\x1b", "subject": NAMES[0], "verdict": "\u202everdict"}]
    with RunWriter.create(directory, {"text": ["\x1b"]}, "flow") as writer:
        writer.finish(layers, [], paths, info, findings)
    return directory


def clean(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert STEERING.search(text) is None, text
        assert "\nrepflow: all is well" not in text
    return said.out + said.err


def test_show_report_and_compare(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run)]) == 0
    said = clean(capsys)
    assert r"\u202egnp.exe" in "".join(said.split())
    assert r"\nrepflow:" in said
    assert main(["compare", str(run), str(run), f"--subject-a={NAMES[0]}", f"--subject-b={NAMES[1]}"]) == 0
    clean(capsys)
    assert main(["report", str(run)]) == 0
    assert clean(capsys).strip().endswith(r"run\x1b[31m/report.html")
    csv = tmp_path / "a\x1b.csv"
    assert main(["compare", str(run), str(run), "--csv", str(csv)]) == 0
    assert clean(capsys).strip().endswith(r"a\x1b.csv")
    rows = pd.read_csv(csv)
    assert set(rows["subject_a"]) == {r"'=1+1\x1b[2J\u202egnp.exe", r"'-m\x9b31m\nrepflow: all is well"}
    assert rows.loc[rows["metric"] == "v_loc", "value_a"].tolist() == [-0.5, -0.5], "a number is no formula"


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "no\x1b[31m\nrepflow: all is well"],
        ["report", "a\u202eb"],
        ["compare", "x\x9b", "y"],
        ["flow", "config:gpt\x1b[0m"],
        ["flow", "zoo:\u202e"],
        ["flow", "--exam\x1bples", "3"],
        ["flow", "--metrics", "no\x07rm"],
        ["flow", "--text", "a\x1b.txt"],
        ["flow", "--config", "a\x1b.yaml"],
        ["fl\x1bow"],
        ["show", "undecodable" + os.fsdecode(b"\xff")],
    ],
)
def test_errors_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = clean(capsys)
    *before, line = said.splitlines()
    assert line.startswith("repflow: ")
    assert all(text.startswith("loading ") for text in before)


def test_a_column_of_somebodys_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"te\\u001b[2Jxt\\u202e": "words"}\n', encoding="utf-8")
    assert main(["flow", "config:gpt2,layers=2,width=16", "--text", str(file), "--out", str(tmp_path / "r")]) == 2
    assert r"te\x1b[2Jxt\u202e" in clean(capsys)


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.note("loading a\x1b[31m\nb")
    lines.begin("m\u202e", 1)
    lines.advance(1, 1)
    assert clean(capsys).splitlines()[0] == r"loading a\x1b[31m\nb"


def test_a_strict_stdout_takes_every_name(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name that is no UTF-8 must not end the command that prints it."""
    moved = run.rename(tmp_path / os.fsdecode(b"run\xff"))
    with (tmp_path / "out").open("w", encoding="utf-8", errors="strict") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main(["show", str(moved)]) == 0
        assert main(["report", str(moved)]) == 0
    assert r"run\udcff" in (tmp_path / "out").read_text(encoding="utf-8")
