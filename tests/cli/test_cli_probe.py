"""repflow probe from the command line: what it prints and leaves, and one line for every mistake."""

from pathlib import Path
from typing import Any

import pytest
from cli_tools import TINY, only_line

import repflow
from repflow.cli import main
from repflow.core import BadSetting, UnknownName
from repflow.store import open_run

QUICK = ("--examples", "6", "--context", "300", "--items", "3", "--positions", "2", "--keys", "hex4")
FEW = ("--target", "position", "--seeds", "1", "--new-tokens", "2", "--no-report")


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object, subject: str = TINY) -> str:
    """Runs `repflow probe`, which must fail for the caller's mistake and leave nothing; hands back its line."""
    capsys.readouterr()
    assert main(["probe", subject, "--out", str(out), *map(str, arguments)]) == 2
    line = only_line(capsys)
    assert not out.parent.exists(), "nothing half-written"
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--task text", ["the task text has no gold", "kvpr or mdqa"]),
        ("--task kvp", ["unknown task 'kvp'", "did you mean kvpr"]),
        ("--task kvpr kvpr", ["names kvpr twice"]),
        ("--places first", ["--places knows last, ask, gold, mean, even:N, got 'first'"]),
        ("--places last last", ["--places names last twice"]),
        ("--places even:0", ["at least 1 position"]),
        ("--positions 1", ["--positions must be at least 2, got 1"]),
        ("--seeds 0", ["--seeds must be at least 1, got 0"]),
        ("--new-tokens 0", ["--new-tokens must be at least 1, got 0"]),
        ("--examples 0", ["--examples must be at least 1, got 0"]),
        ("--seed -1", ["--seed must be at least 0, got -1"]),
        ("--solver sgd", ["--solver must be one of", "got 'sgd'"]),
        ("--baseline random", ["--baseline must be one of", "got 'random'"]),
        ("--exampels 3", ["unknown option --exampels", "did you mean --examples"]),
        ("--metrics cka", ["unknown option --metrics"]),
        ("--text a.txt", ["unknown option --text"]),
        ("--items 3", ["items 3: 5 positions need as many; lower --positions"]),
        ("--examples 5 --items 5 --keys hex4", ["5 groups", "5 classes", "at least 6 groups", "raise --examples"]),
        (
            "--context 200 --items 8 --keys hex4",
            ["a context of 200 tokens holds 4 pairs; kvpr needs 8", "raise --context"],
        ),
        ("--task mdqa --context 900 --items 5", ["5 documents mdqa needs", "2 fit", "raise --context"]),
        ("--data nowhere.jsonl", ["nowhere.jsonl"]),
        ("--context 3000", [f"{TINY} was trained on 2048 positions", "lower --context"]),
        ("--task kvpr mdqa --data a.jsonl", ["--data holds pairs or questions, not both"]),
        ("--task mdqa --keys hex4", ["--keys is for the task kvpr"]),
        (
            "--target value --task mdqa",
            ["--target value chooses among the values of a prompt", "mdqa has no list of them"],
        ),
        ("--target value --task kvpr mdqa", ["mdqa has no list of them", "probe kvpr"]),
        ("--target colour", ["unknown target 'colour'", "position, value"]),
        ("--target value value", ["names value twice"]),
        ("--task mdqa --divided", ["--divided is for the task kvpr"]),
        ("--data a.jsonl --divided", ["divided keys and values are generated", "a.jsonl"]),
        ("--keys pairs --items 40", ["items 40: 62 words are one token", "make 31 pairs at most", "lower --items"]),
        ("--resume --overwrite", ["--resume and --overwrite contradict each other"]),
    ],
)
def test_a_mistake_is_one_line(out: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: list[str]) -> None:
    line = refused(capsys, out, *arguments.split())
    assert all(text in line for text in said), line


def test_a_place_beyond_the_prompts_is_one_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, out, *QUICK, "--places", "even:999")
    assert "--places even:999 needs prompts of at least 1001 tokens, the shortest has " in line


@pytest.fixture
def finished(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a small run prints on its way to `out`."""
    arguments = ("--task", "kvpr", "mdqa", "--places", "last", "even:2", *QUICK[:2], "--positions", "2", *FEW)
    assert main(["probe", TINY, "--context", "1500", *arguments, "--out", str(out)]) == 0
    return capsys.readouterr().out


def test_a_run_prints_its_peaks_and_so_does_show(out: Path, finished: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(out)]) == 0
    assert capsys.readouterr().out == finished
    assert "kvpr, 1500 tokens, chance 50.0" in finished
    assert "mdqa, 1500 tokens, chance 50.0" in finished
    summary = open_run(out).table("probe_summary")
    printed = [line.split() for line in finished.splitlines() if line.split()[1:3] == ["none", "-"]]
    assert summary["verdict"].unique().tolist() == ["no interval"], "three questions a split, of 6 or 7"
    assert [cells[0] for cells in printed] == summary["position"].tolist()
    said = " ".join(finished.partition("kvpr, 1500 tokens, chance")[2].split())
    assert said.count("no interval, so nothing is said of a peak: ") == len(summary)
    assert "sets of pairs held out, 8 are needed" in said
    assert "questions held out, 8 are needed" in said
    assert [cells[0] for cells in printed] == ["last", "even.1of2", "even.2of2"] * 2
    assert max(map(len, finished.splitlines())) <= 80 + len(str(out))


def test_a_file_fills_the_settings_and_flags_win(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "probe.yaml"
    lines = [
        "examples: 7",
        "context: 300",
        "items: 3",
        "positions: 2",
        "keys: hex4",
        "places: [last, gold]",
        "seeds: 1",
    ]
    file.write_text("\n".join([f"subjects: '{TINY}'", "report: false", "generate: false", *lines]), encoding="utf-8")
    assert main(["probe", "--config", str(file), "--examples", "6", "--out", str(out)]) == 0
    run = open_run(out)
    assert run.settings["examples"] == 6
    assert run.settings["places"] == ["last", "gold"]
    assert run.settings["generate"] is False
    assert run.info["command"] == "probe"
    assert [facts["label"] for facts in run.subjects] == [TINY]
    capsys.readouterr()
    file.write_text("exampels: 3", encoding="utf-8")
    assert main(["probe", "--config", str(file)]) == 2
    assert "unknown setting 'exampels'" in only_line(capsys)


def test_a_stopped_run_says_how_to_go_on(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from repflow.studies.probe import subject as probe_subject

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    arguments = ["probe", TINY, *QUICK, *FEW, "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr(probe_subject, "fit_place", stopped)
        assert main(arguments) == 130
    said = capsys.readouterr().err.splitlines()
    assert said[-2] == f"repflow: interrupted; what is done stays in {out}"
    assert said[-1].startswith("resume with: repflow probe ")
    features = out / "features" / "00-kvpr-300.npy"
    size = features.stat().st_size
    with features.open("r+b") as stream:
        stream.truncate(size - 8)
    assert main([*arguments, "--resume"]) == 2
    assert only_line(capsys).endswith(f"is cut short: {size - 8:,} bytes, needs {size:,}; run again with --overwrite")
    assert main([*arguments, "--overwrite"]) == 0


def test_from_python_a_slip_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean solver"):
        repflow.probe(TINY, solvr="adam")
    with pytest.raises(UnknownName, match="unknown solver 'sgd'"):
        repflow.probe(TINY, solver="sgd")
    with pytest.raises(BadSetting, match="subjects must be a list of names"):
        repflow.probe(3)  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="needs at least one subject"):
        repflow.probe([])
