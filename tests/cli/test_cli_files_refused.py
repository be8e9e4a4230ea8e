"""Files that are broken, empty, too long or in the way: exit code 2, one line, nothing half-written."""

import errno
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_tools import QUICK, TINY, Refusal, model_folder, only_line

from repflow.cli import main
from repflow.store import open_run
from repflow.store import parts as _parts
from repflow.store import writer as _writer


def test_truncated_safetensors(refused: Refusal, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5_000])
    line = refused(*QUICK, subjects=(folder,))
    assert str(weights) in line
    assert "may be incomplete" in line


@pytest.mark.parametrize("content", [b"GGUF", b"GGUF" + bytes(100), b"not a model"])
def test_broken_gguf(refused: Refusal, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    assert str(file) in refused(*QUICK, subjects=(file,))


def test_a_directory_that_holds_no_model(refused: Refusal, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    line = refused(*QUICK, subjects=(folder,))
    assert str(folder / "config.json") in line
    assert "needs config.json" in line


def test_broken_json_lines_name_file_and_line(refused: Refusal, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one"}\n\n{"text": "two', encoding="utf-8")
    assert f"{file} line 3: broken JSON" in refused("--text", file, *QUICK)
    record = json.dumps({"ordered_kv_records": [[f"k{i}", f"v{i}"] for i in range(9)], "key": "k1", "value": "v1"})
    file.write_text(f"{record}\n{record[:30]}", encoding="utf-8")
    assert f"{file} line 2: broken JSON" in refused("--task", "kvpr", "--data", file, "--context", 300)
    file.write_text('{"words": "one"}\n', encoding="utf-8")
    line = refused("--text", file, *QUICK)
    assert f"{file} line 1: needs the fields text; found words" in line


def test_files_are_told_by_their_content(refused: Refusal, tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_text("text,label\n" + "some words,a\n" * 20, encoding="utf-8")
    line = refused("--text", file, *QUICK)
    assert f"{file} looks like a table; columns found: text, label; name the one" in line
    file.write_text('{"text": "half \\ud83d of a pair"}\n', encoding="utf-8")
    assert f"{file} line 1: \\ud83d is half of a surrogate pair" in refused("--text", file, *QUICK)
    file.write_text("plain words, and plain words\n" * 100, encoding="utf-8")
    assert "--column body" in refused("--text", file, "--column", "body", *QUICK)
    passages = [{"text": "a box", "isgold": "False"}, {"text": "the key", "isgold": "True"}]
    file.write_text(json.dumps({"question": "what?", "answers": ["key"], "ctxs": passages}), encoding="utf-8")
    line = refused("--task", "mdqa", "--data", file, "--context", 300)
    assert f"{file} line 1: isgold of a passage needs to be true or false" in line


def test_text_without_text(refused: Refusal, tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_bytes(b"")
    assert refused("--text", file, *QUICK) == f"repflow: {file} is empty"
    file.write_text(" \n\n \n", encoding="utf-8")
    assert f"{file} holds no text" in refused("--text", file, *QUICK)
    file.write_text("too short", encoding="utf-8")
    line = refused("--text", file, *QUICK)
    assert "9 tokens, fewer than one piece of 48" in line
    assert "lower --context" in line
    file.write_bytes(b"fine\nbad \xff")
    assert f"{file} line 2: byte 0xff is not UTF-8" in refused("--text", file, *QUICK)


def test_longer_than_the_trained_positions(refused: Refusal) -> None:
    line = refused(*QUICK, subjects=("config:gpt2,layers=2,width=32,positions=32",))
    assert "trained on 32 positions" in line
    assert "48 tokens" in line
    assert "--allow-extrapolation" in line


def test_learned_positions_cannot_extrapolate(refused: Refusal) -> None:
    line = refused("--allow-extrapolation", *QUICK, subjects=("config:gpt2,layers=2,width=32,positions=32",))
    assert "the forward pass failed" in line
    assert "48 tokens" in line


def test_rotary_positions_extrapolate_with_a_warning(out: Path) -> None:
    subject = f"{TINY},positions=32"
    assert main(["flow", subject, "--allow-extrapolation", "--out", str(out), *QUICK]) == 0
    assert f"{subject}: read 48 tokens where it was trained on 32" in open_run(out).info["warnings"]


def test_out_that_exists(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", TINY, "--out", str(out), *QUICK]) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert main(["flow", TINY, "--out", str(out), *QUICK]) == 2
    line = only_line(capsys)
    assert "holds a finished run" in line
    assert "--resume" in line
    assert "--overwrite" in line
    assert main(["flow", TINY, "--out", str(out), *QUICK, "--context", "64", "--resume"]) == 2
    assert "--context is given 2 times" in only_line(capsys)
    assert main(["flow", TINY, "--out", str(out), *QUICK, "--seed", "3", "--resume"]) == 2
    line = only_line(capsys)
    assert "other settings: seed: was 0, now 3" in line
    assert main(["flow", f"{TINY},vocab=300", "--out", str(out), *QUICK, "--overwrite", "--task", "kvp"]) == 2
    assert "unknown task" in only_line(capsys)
    assert {path: path.read_bytes() for path in out.iterdir()} == before, "a refused run changes nothing"


def test_out_that_is_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    for flags in ([], ["--resume"], ["--overwrite"]):
        assert main(["flow", TINY, "--out", str(tmp_path), *QUICK, *flags]) == 2
        line = only_line(capsys)
        assert "mine.txt" in line
        assert "another --out" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", TINY, "--out", "/proc/repflow/run", *QUICK]) == 2
    line = only_line(capsys)
    assert "cannot write the run directory /proc/repflow/run" in line
    assert "choose another --out" in line


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The disk is full once `after` files are written."""
    written: list[Path] = []
    write = _writer.write_bytes_atomic

    def writing(path: Path, data: bytes) -> None:
        if len(written) == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, data)

    monkeypatch.setattr(_writer, "write_bytes_atomic", writing)
    monkeypatch.setattr(_parts, "write_bytes_atomic", writing)


def test_a_disk_that_is_full_from_the_start(refused: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    full_disk(monkeypatch, 0)
    assert "the disk is full; free some space" in refused(*QUICK)


@pytest.mark.parametrize("after", [1, 2, 4, 9, 12])
def test_a_disk_that_fills_up_leaves_a_run_that_can_be_finished(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], after: int
) -> None:
    arguments: list[Any] = ["flow", TINY, *QUICK, "--shard", "1", "--out"]
    with monkeypatch.context() as patch:
        full_disk(patch, after)
        assert main([*arguments, str(out)]) == 2
        assert "the disk is full; free some space and run again with --resume" in only_line(capsys)
    assert main([*arguments, str(out), "--resume"]) == 0
    assert main([*arguments, str(tmp_path / "whole")]) == 0
    for table in ("layers", "pairs", "paths"):
        mine, whole = getattr(open_run(out), table), getattr(open_run(tmp_path / "whole"), table)
        pd.testing.assert_frame_equal(mine, whole, check_exact=True)
