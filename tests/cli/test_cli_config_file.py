"""`--config FILE.yaml` says what the flags say, and flags win over it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from cli_tools import QUICK, TINY, Refusal, only_line

from repflow.cli import main
from repflow.store import open_run

SETTINGS: dict[str, Any] = {
    "subjects": [TINY],
    "task": ["text"],
    "context": [32, 48],
    "examples": 5,
    "calibration": 2,
    "replicates": 40,
    "tokens": ["all", "no_special"],
    "allow-extrapolation": True,
    "pack": True,
    "report": False,
}
FLAGS = (
    "--task text --context 32 48 --examples 5 --calibration 2 --replicates 40 --tokens all no_special "
    "--allow-extrapolation --no-report"
)


def config(folder: Path, values: Any) -> str:
    file = folder / "flow.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return str(file)


def test_a_file_equals_flags(tmp_path: Path) -> None:
    file = config(tmp_path, SETTINGS)
    assert main(["flow", "--config", file, "--out", str(tmp_path / "file")]) == 0
    assert main(["flow", TINY, *FLAGS.split(), "--out", str(tmp_path / "flags")]) == 0
    by_file, by_flags = open_run(tmp_path / "file"), open_run(tmp_path / "flags")
    assert by_file.settings == by_flags.settings
    assert by_file.settings["context"] == [32, 48]
    assert by_file.settings["allow_extrapolation"] is True
    pd.testing.assert_frame_equal(by_file.layers, by_flags.layers, check_exact=True)


def test_flags_win(tmp_path: Path) -> None:
    file = config(tmp_path, SETTINGS | {"out": str(tmp_path / "not-here"), "pack": False})
    flags = ["--examples", "4", "--no-allow-extrapolation", "--context", "40", "--pack", "--out", str(tmp_path / "run")]
    assert main(["flow", "config:mamba2,layers=2,width=32", f"--config={file}", *flags]) == 0
    settings = open_run(tmp_path / "run").settings
    assert settings["subjects"] == ["config:mamba2,layers=2,width=32"]
    assert (settings["examples"], settings["context"], settings["allow_extrapolation"]) == (4, [40], False)
    assert settings["pack"] is True
    assert settings["replicates"] == 40, "what no flag names comes from the file"
    assert not (tmp_path / "not-here").exists()


def test_a_flag_may_repeat_what_the_file_says(tmp_path: Path) -> None:
    file = config(tmp_path, SETTINGS | {"pack": False, "context": 30})
    flags = ["--allow-extrapolation", "--no-pack", "--no-report"]
    assert main(["flow", "--config", file, *flags, "--out", str(tmp_path / "run")]) == 0
    assert open_run(tmp_path / "run").settings["pack"] is False


def test_resume_wins_over_overwrite_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, SETTINGS | {"overwrite": True, "out": str(tmp_path / "run")})
    assert main(["flow", "--config", file]) == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    assert main(["flow", "--config", file, "--resume"]) == 0
    assert "finished; nothing to measure" in capsys.readouterr().err
    assert (tmp_path / "run" / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"exampless": 3}, ["unknown setting 'exampless'", "did you mean examples"]),
        ({"examples": 1.5}, ["examples must be a whole number, got 1.5"]),
        ({"examples": "four"}, ["examples must be a whole number, got 'four'"]),
        ({"examples": True}, ["examples must be a whole number, got True"]),
        ({"examples": None}, ["examples must be a whole number, got None"]),
        ({"examples": [3]}, ["examples must be a whole number, got [3]"]),
        ({"context": [32, "x"]}, ["context must be a whole number, got 'x'"]),
        ({"context": []}, ["--context needs at least one value"]),
        ({"task": "kvp"}, ["unknown task 'kvp'"]),
        ({"task": 3}, ["task must be a text, got 3"]),
        ({"pack": "no way"}, ["pack must be true or false, got 'no way'"]),
        ({"report": "yes, none"}, ["report must be true or false"]),
        ({"dtype": "float8"}, ["unknown dtype 'float8'", "bfloat16"]),
        ({"out": 5}, ["out must be a path, got 5"]),
        ({"subjects": [3]}, ["subjects must be a list of names, got [3]"]),
        ({"subjects": []}, ["at least one subject"]),
        ({"subjects": "no.gguf"}, ["no such GGUF file"]),
        ("examples: [", ["flow.yaml line", "not valid YAML"]),
        ("- examples", ["flow.yaml: holds no settings"]),
        ("3: 4", ["flow.yaml: holds no settings"]),
        ("just words", ["flow.yaml: holds no settings"]),
    ],
)
def test_a_file_that_cannot_be(refused: Refusal, tmp_path: Path, values: Any, said: list[str]) -> None:
    line = refused("--config", config(tmp_path, values), subjects=())
    assert all(text in line for text in said), line


def test_two_files_are_one_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, SETTINGS)
    assert main(["flow", "--config", file, "--config", file, "--out", str(tmp_path / "run")]) == 2
    assert "--config is given 2 times" in only_line(capsys)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = config(tmp_path, "# nothing yet\n")
    assert main(["flow", TINY, "--config", file, *QUICK, "--out", str(tmp_path / "run")]) == 0
