"""What a person sees: help, progress, summaries."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_tools import QUICK, TINY

from repflow.cli import main
from repflow.cli import progress as _progress
from repflow.cli._main import FIRST, _commands

SUBJECTS = (
    'config:pythia,layers=2,width=32,positions=4096,rope_parameters={"rope_theta":10000.0}',
    "config:mamba2,layers=2,width=32@init=orthogonal:7",
)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    for command in _commands():
        assert re.search(rf"^  {command} +\w", bare, re.MULTILINE)
        assert main([command, "--help"]) == 0
        said = capsys.readouterr().out
        assert f"usage: repflow {command}" in said
        assert f"Example: repflow {command}" in said
    assert all(len(line) <= 100 for line in bare.splitlines())


def test_the_commands_needed_first_come_first_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    first, others = capsys.readouterr().out.split("Then:")
    assert re.findall(r"^  (\w+)", first, re.MULTILINE) == ["flow", "probe", "show", "report"]
    assert len(re.findall(r"^ {14}repflow (?:flow|probe|show|report) \S", first, re.MULTILINE)) == 4
    assert set(re.findall(r"^  (\w+)", others, re.MULTILINE)) == _commands().keys() - FIRST.keys()


def test_the_help_of_flow_says_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import fields

    from repflow.studies.kit.fields import groups
    from repflow.studies.kit.settings import FlowSettings

    assert main(["flow", "--help"]) == 0
    said = capsys.readouterr().out
    for kind in groups(FlowSettings).values():
        for field in fields(kind):
            name = field.name.replace("_", "-")
            assert re.search(rf"--(no-)?{name}\b", said), name
    assert "--config FILE.yaml" in said


@pytest.mark.parametrize("columns", ["60", "80", "200"])
@pytest.mark.parametrize("command", ["flow", "probe", "ablate", "attribute", "dynamics", "lab", "train zoo", "report"])
def test_help_groups_the_options_under_what_they_are_for(
    command: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    groups = re.findall(r"^([A-Z](?:.*\n)?.*):\n  \S", said.split("Options:")[1], re.MULTILINE)
    assert groups == re.findall(r"^(\S(?:.*\n)?.*):$", said.split("Options:")[1], re.MULTILINE)
    assert {"report": "Figures for papers", "flow": "What the models read"}.get(command, groups[0]) == groups[0]
    assert len(groups) == {"report": 1, "lab": 2, "train zoo": 2, "ablate": 5, "flow": 5}.get(command, 4)
    assert not re.search(r"\{None\}|\[STR|default: *\)|default:\s+None|-----|│| $", said, re.MULTILINE)
    assert max(len(line) for line in said.split("Options:")[1].splitlines()) <= min(int(columns), 100)


def test_help_sets_sentences_below_each_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare", "--help"]) == 0
    said = capsys.readouterr().out
    starts = {line.index(word) for line in said.splitlines() for word in ("Only this", "show this") if word in line}
    assert len(starts) == 1


def test_progress_without_a_terminal_is_plain_lines(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", TINY, "--out", str(out), *QUICK]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"loading {TINY}",
        f"{TINY} on text at 48 tokens: 6 examples",
        f"{TINY} on text at 48 tokens: 6/6 examples, done",
    ]


def test_a_long_run_says_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    lines = _progress.Lines()
    lines.begin("a model on text", 10)
    for _ in range(10):
        lines.advance(1, 100)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "a model on text: 10 examples"
    assert said[-1] == "a model on text: 10/10 examples, done"
    assert 4 <= len(said) <= 7, "about one line every 30 seconds, not one an example"
    assert all(re.fullmatch(r"a model on text: \d+/10 examples, about \d+ s left", line) for line in said[1:-1])


def test_progress_is_silent_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPFLOW_PROGRESS", "0")
    with _progress.watching() as progress:
        progress.note("loading")
        progress.begin("a model on text", 1)
        progress.advance(1, 100)
    assert capsys.readouterr() == ("", "")


def test_progress_in_a_terminal_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    said = io.StringIO()
    code = (
        "from repflow.cli.progress import watching\n"
        "with watching() as p:\n"
        "    p.note('loading [a/b]'); p.begin('[bold]a model', 4); p.advance(2, 100); p.advance(2, 100)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    with contextlib.suppress(OSError):
        while data := os.read(ours, 4096):
            said.write(data.decode())
    assert process.wait() == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.getvalue())
    assert "loading [a/b]" in text
    assert "[bold]a model" in text
    assert "4/4" in text
    assert "tokens/s" in text


@pytest.fixture
def run_of_two(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    assert (
        main(
            [
                "flow",
                *SUBJECTS,
                *("9" if flag == "6" else flag for flag in QUICK),
                "--permutations",
                "19",
                "--out",
                str(directory),
            ]
        )
        == 0
    )
    return directory


def test_show_report_and_compare_fit_eighty_columns(
    run_of_two: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    assert main(["show", str(run_of_two)]) == 0
    said = capsys.readouterr().out
    path = str(run_of_two)
    names = (path, *SUBJECTS)  # one that is longer stands on a line that the terminal may break
    assert all(len(line) <= 80 or any(name in line for name in names) for line in said.splitlines()), said
    for text in ("TBM", "SSM", "inter-token cosine", "v_loc", "warning:", "rough intervals", "repflow report"):
        assert text in said
    assert said.count("rough intervals") == 1, "a warning is said once"
    assert main(["compare", path, path]) == 0
    said = capsys.readouterr().out
    assert all(len(line) <= 80 or any(name in line for name in names) for line in said.splitlines()), said
    assert main(["report", path]) == 0
    assert capsys.readouterr().out.strip() == str(run_of_two / "report.html")
    assert (run_of_two / "report.html").stat().st_size > 1000


def test_compare_writes_csv(run_of_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.csv"
    capsys.readouterr()
    assert main(["compare", str(run_of_two), str(run_of_two), "--metric", "norm", "--csv", str(file)]) == 0
    assert capsys.readouterr().out.strip() == str(file)
    assert main(["compare", str(run_of_two), str(run_of_two), "--csv", str(tmp_path / "no" / "rows.csv")]) == 2
    assert "choose another --csv" in capsys.readouterr().err
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    assert "difference" in header
    assert len(rows) > 10


def test_doctor_says_what_runs_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for text in ("torch", "mamba2", "token_cka", "inter_token_cosine"):
        assert text in said


def test_flow_prints_its_summary_and_where_the_report_is(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = [flag for flag in QUICK if flag != "--no-report"]
    assert main(["flow", TINY, "--out", str(out), *quick]) == 0
    said = capsys.readouterr()
    assert f"report: {out / 'report.html'}" in said.out
    assert said.err.splitlines()[-1] == "writing the report"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("repflow 0.")


def test_two_subjects_of_one_run_are_set_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"config:{family},layers=2,width=32" for family in ("pythia", "mamba2")]
    run = str(tmp_path / "run")
    assert main(["flow", *names, "--examples", "8", "--context", "32", "--out", run, "--no-report"]) == 0
    capsys.readouterr()
    asked = ["compare", run, run, "--subject-a", names[0], "--subject-b", names[1], "--metric", "update_ratio"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    assert re.search(r"update_ratio raw all/no_sink +3 +3 ", said), "three steps, all of them apart"
    assert main([*asked[:4], "nobody", *asked[5:]]) == 2
    assert "nobody" in capsys.readouterr().err
