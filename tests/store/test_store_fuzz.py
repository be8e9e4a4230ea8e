"""Whatever happens to the files of a run: it opens with the same content, or is refused in one line."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz_kit import BYTES, PLACES, STUDIES, VALUES, content, files_of, make, old_mutations, restored
from store_runs import unseal

import repflow
from repflow.cli import main
from repflow.core import BadFile, StoreConflict
from repflow.engines import local
from repflow.store import open_run

Said = Callable[[list[str]], str]
LEAST = 60
"""Mutations a study: 300 and more in all."""
EVERY = 4
"""Of the mutations of a run without checksums every fourth is tried, others in the next study: 420 of 1,690."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """A run of every study, and the command line of each."""
    torch.set_num_threads(1)
    return {study: make(study, tmp_path_factory.mktemp(study)) for study in STUDIES}


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command; it must end well and say nothing on stderr, or be refused in one line."""

    def run(arguments: list[str]) -> str:
        capsys.readouterr()
        code = main(arguments)
        told = capsys.readouterr()
        assert code in (0, 2), told.err
        assert "Traceback" not in told.err
        if code == 0:
            return ""
        (line,) = told.err.splitlines()
        assert line.startswith("repflow: ")
        assert told.out == "", "nothing is printed of what cannot be read"
        return line

    return run


def read_or_line(directory: Path) -> list[Any] | str:
    try:
        return content(open_run(directory))
    except (BadFile, StoreConflict) as error:
        return str(error)


@pytest.mark.parametrize("study", STUDIES)
def test_a_run_opens_as_it_was_or_is_refused_in_one_line(
    runs: dict[str, tuple[Path, list[str]]], study: str, tmp_path: Path, said: Said
) -> None:
    made, command = runs[study]
    directory = tmp_path / "run"
    shutil.copytree(made, directory)
    again = [str(directory) if word == str(made) else word for word in command]
    commands = [
        ["show", str(directory)],
        ["report", str(directory), "--out", str(tmp_path / "page")],
        ["compare", str(directory), str(directory)],
        [*again, "--resume"],
    ]
    lines = [said(command) for command in commands]
    assert lines[2] == "" or "no row in layers, paths or pairs" in lines[2]
    assert not any(lines[:2] + lines[3:]), "undisturbed"
    shutil.rmtree(tmp_path / "page")
    expected = content(open_run(directory))
    count = 0
    for path in files_of(directory):
        written = path.read_bytes()
        for name, change in {**BYTES, **PLACES}.items():
            if name in BYTES:
                path.write_bytes(change(written))  # type: ignore[arg-type]
            else:
                path.unlink()
                change(path)  # type: ignore[arg-type]
            found = read_or_line(directory)
            where = f"{path.name}: {name}"
            if isinstance(found, str):
                assert path.name in found, where
                assert "\n" not in found, where
                line = said(commands[count % len(commands)])
                assert path.name in line, where
            else:
                assert found == expected, where
            restored(path, written)
            count += 1
    assert count >= LEAST
    assert content(open_run(directory)) == expected
    assert not (tmp_path / "page").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("study", STUDIES)
def test_a_run_without_checksums_is_read_or_refused_in_one_line(
    runs: dict[str, tuple[Path, list[str]]], study: str, tmp_path: Path, said: Said
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(runs[study][0], directory)
    unseal(directory)
    show, compare = ["show", str(directory)], ["compare", str(directory), str(directory)]
    page = ["report", str(directory), "--out", str(tmp_path)]
    commands = [*[show, compare] * 9, page]
    count = 0
    turns = itertools.count(list(STUDIES).index(study))
    for path in sorted(directory.iterdir()):
        if not path.is_file():
            continue
        written = path.read_bytes()
        for name, spoiled in old_mutations(path, written):
            if next(turns) % EVERY:
                continue
            path.write_bytes(spoiled)
            try:
                said(commands[count % len(commands)])
            except Exception as error:
                raise AssertionError(f"{path.name}: {name}") from error
            count += 1
        path.write_bytes(written)
    assert count >= LEAST
    assert said(page) == ""


def test_settings_of_other_types_resume_nothing(
    runs: dict[str, tuple[Path, list[str]]], tmp_path: Path, said: Said
) -> None:
    made, command = runs["flow"]
    directory = tmp_path / "run"
    shutil.copytree(made, directory)
    path = unseal(directory) / "run.json"
    known = json.loads(path.read_bytes())
    again = [*(str(directory) if word == str(made) else word for word in command), "--resume"]
    assert said(again) == ""
    for value in [value for value in VALUES if value != 0]:
        for settings in (value, {**known["settings"], "context": value}, {**known["settings"], "examples": [value]}):
            path.write_text(json.dumps({**known, "settings": settings}))
            line = said(again)
            assert "context" in line or "examples" in line or "settings" in line
    for version in (None, [], "1", 2.5, 10**400):
        path.write_text(json.dumps({**known, "schema_version": version}))
        assert "schema" in said(again)


def test_an_unfinished_run_goes_on_to_the_same_or_is_refused(
    runs: dict[str, tuple[Path, list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    """Its parts are damaged one at a time: what cannot be trusted is measured again."""
    made, command = runs["flow"]
    stopped = tmp_path / "stopped"
    measure, seen = local.measure, []

    def stopping(*arguments: Any) -> Any:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(1)
        return measure(*arguments)

    subjects, settings = STUDIES["flow"]
    with monkeypatch.context() as patch:
        patch.setattr(local, "measure", stopping)
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            repflow.flow(subjects, out=stopped, shard=2, **settings)
    parts = [path.name for path in files_of(stopped)]
    assert len(parts) > 3
    changes = [change for name, change in BYTES.items() if name in ("empty", "half", "one bit", "twice")]
    for turn, name in enumerate(parts):
        directory = tmp_path / f"run-{turn}"
        shutil.copytree(stopped, directory)
        (path,) = [path for path in files_of(directory) if path.name == name]
        path.write_bytes(changes[turn % len(changes)](path.read_bytes()))
        line = said([*(str(directory) if word == str(made) else word for word in command), "--shard", "2", "--resume"])
        if line:
            assert name == "run.json"
        else:
            assert content(open_run(directory))[2] == content(open_run(made))[2]
