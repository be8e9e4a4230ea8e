"""A run's course from Python: a bar where somebody looks, silence elsewhere."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import repflow
from repflow.core import BadSetting
from repflow.studies.kit.bars import shown
from repflow.studies.kit.progress import Silent

TINY = "config:pythia,layers=1,width=16"
QUICK: dict[str, Any] = {"context": 16, "examples": 2, "calibration": 0, "replicates": 40, "metrics": ["norm"]}


class Listening:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def note(self, line: str) -> None:
        self.told.append(line)

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        self.told.append((title, total, unit))

    def advance(self, done: int, tokens: int) -> None:
        self.told.append((done, tokens))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def _measure(tmp_path: Any, **more: Any) -> None:
    repflow.flow(TINY, out=tmp_path / "run", **QUICK, **more)


@pytest.mark.usefixtures("notebook")
def test_a_notebook_shows_a_bar_without_being_asked(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _measure(tmp_path)
    said = capsys.readouterr()
    assert f"loading {TINY}" in said.err
    assert f"{TINY} on text at 16 tokens: 100%" in said.err
    assert "2/2" in said.err
    assert not said.out


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize("off", ["argument", "environment"])
def test_a_notebook_is_silent_when_told_to_be(
    off: str, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if off == "environment":
        monkeypatch.setenv("REPFLOW_PROGRESS", "0")
    _measure(tmp_path, **({"progress": False} if off == "argument" else {}))
    assert capsys.readouterr() == ("", "")


def test_a_script_whose_output_goes_to_a_file_is_silent(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _measure(tmp_path)
    assert capsys.readouterr() == ("", "")


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(config={"TerminalIPythonApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with shown() as progress:
        assert isinstance(progress, Silent)


@pytest.mark.usefixtures("notebook")
def test_another_object_is_told_instead_whatever_the_environment_says(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPFLOW_PROGRESS", "0")
    listening = Listening()
    _measure(tmp_path, progress=listening)
    assert listening.told == [f"loading {TINY}", (f"{TINY} on text at 16 tokens", 2, "example"), (2, 32)]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("notebook")
def test_the_bar_of_a_run_that_fails_stays_where_it_stood(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with shown() as progress:
            progress.begin("a model", 4)
            progress.advance(1, 10)
            raise BadSetting("no more")

    with pytest.raises(BadSetting, match="no more"):
        fail()
    assert "1/4" in capsys.readouterr().err.splitlines()[-1]
