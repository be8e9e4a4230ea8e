"""`repflow completion`: scripts that shells read."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cli_tools import only_line

from repflow.cli import main
from repflow.cli._main import _commands


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "repflow"
    path.write_text(said.getvalue())
    return path


def completed(script: Path, *words: str, folder: Path | None = None) -> list[str]:
    """What bash offers for the last word."""
    line = f"source {script}; COMP_WORDS=(repflow {' '.join(repr(word) for word in words)}); COMP_CWORD={len(words)}; "
    line += 'compopt() { :; }; _tyro_repflow; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_offers_commands_options_and_choices(script: Path, tmp_path: Path) -> None:
    assert set(completed(script, "")) >= _commands().keys()
    assert completed(script, "comp") == ["compare", "completion"]
    assert completed(script, "flow", "--con") == ["--context"]
    assert set(completed(script, "flow", "--dtype", "b")) == {"bfloat16"}
    assert "--preset" in completed(script, "train", "zoo", "--p")
    (tmp_path / "texts").mkdir()
    assert completed(script, "train", "zoo", "--data", "te", folder=tmp_path) == ["texts"]
    assert completed(script, "show", "te", folder=tmp_path) == ["texts"]


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "#compdef repflow"), ("fish", "function _tyro_repflow")])
def test_the_other_shells_have_a_script(shell: str, mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert mark in capsys.readouterr().out


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh" in only_line(capsys).replace("'", "")
    assert main(["completion"]) == 2
    assert "an argument is missing" in only_line(capsys)
