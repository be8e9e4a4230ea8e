"""`repflow train`: what it refuses before it trains, each in one line and with exit code 2."""

from pathlib import Path

import pytest
import torch
from cli_tools import TINY

from repflow.cli import main
from repflow.tasks.files import shipped


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a little prose."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.txt").write_text(shipped("prose.txt").read_text(encoding="utf-8")[:4000])
    return folder


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    """The one line that `repflow train zoo` says; nothing is written."""
    return line_of(capsys, out, "train", "zoo", *arguments, "--out", out)


def line_of(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("repflow: ")
    assert not out.exists()
    return line


def test_a_folder_that_is_not_there(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, out, "pythia-tiny", "--data", tmp_path / "nowhere")
    assert f"there is no folder {tmp_path / 'nowhere'}; --data needs the folder with the texts" in line


def test_a_folder_without_text(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no .txt file to train on" in refused(capsys, out, "pythia-tiny", "--data", tmp_path / "empty")


def test_less_text_than_a_batch(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, out, "pythia-tiny", "--data", data, "--preset", "gpu")
    assert "tokens, one batch takes 81920; add text to --data or lower --batch-tokens" in line


def test_a_batch_that_holds_no_whole_rows(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, out, "--data", data, "--batch-tokens", 96, "--lengths", 32, 64)
    assert "a batch of 96 tokens does not hold whole rows of 64; change --batch-tokens or --lengths" in line


def test_held_out_text_that_is_too_short_or_absent(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before the training, not hours later."""
    (data / "wikitext-2").mkdir()
    line = refused(capsys, out, "--data", data, "--preset", "smoke")
    assert f"there is no file {data / 'wikitext-2' / 'valid.txt'}" in line
    (data / "wikitext-2" / "valid.txt").write_text("Too short.")
    assert "is shorter than one piece of 1024 tokens" in refused(capsys, out, "--data", data, "--preset", "smoke")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--device cuda: no CUDA GPU is available" in refused(capsys, out, "--data", data, "--device", "cuda")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mamba-tin"], "unknown zoo model to train 'mamba-tin'; did you mean mamba-tiny"),
        (["mamba-tiny", "mamba-tiny"], "a model is named twice: mamba-tiny, mamba-tiny"),
        (["--resume", "--overwrite"], "--resume and --overwrite contradict each other; give one of them"),
        (["--learning-rate", "0"], "--learning-rate must be between 0 and 1, got 0.0"),
        (["--learning-rate", "nan"], "--learning-rate must be between 0 and 1, got nan"),
        (["--learning-rate", "fast"], "--learning-rate needs a number, got 'fast'"),
        (["--tokens", "-1"], "--tokens must be 0 or more, got -1"),
        (["--minutes", "-0.5"], "--minutes must be 0 or more, got -0.5"),
        (["--minutes", "nan"], "--minutes must be 0 or more, got nan"),
        (["--lengths", "64", "2048"], "--lengths must be between 2 and 1024, got 2048"),
        (["--lengths", "1"], "--lengths must be between 2 and 1024, got 1"),
        (["--seed", "4294967296"], "--seed must be at most 4294967295, got 4294967296"),
        (["--preset", "tpu"], "--preset must be one of"),
        (["--token", "5"], "unknown option --token; did you mean --tokens?"),
    ],
)
def test_settings_out_of_range(
    arguments: list[str], told: str, data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(capsys, out, *arguments, "--data", data)


def test_without_accelerate_it_says_what_to_install(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else find(name))
    assert "pip install 'repflow[train]'" in refused(capsys, out, "--data", data)


def test_another_thing_to_train(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown thing to train 'zo'; did you mean zoo" in line_of(capsys, out, "train", "zo")


def test_a_card_without_data(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of(capsys, out, "train", "card", f"{TINY},positions=1024", "--data", tmp_path / "nowhere")
    assert f"there is no folder {tmp_path / 'nowhere'}; --data needs the folder that holds wikitext-2" in line


def test_a_card_of_a_model_of_few_positions(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of(capsys, out, "train", "card", f"{TINY},positions=512", "--data", data)
    assert "has 512 positions; a card reads texts of 1024 tokens and needs as many" in line


@pytest.mark.parametrize("arguments", [[], ["--help"], ["zoo", "--help"], ["card", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "repflow train" in said.out
