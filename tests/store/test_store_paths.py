"""A path that is given once means one place, whatever is in its name and wherever the process goes."""

from pathlib import Path

import pytest
from store_runs import create, finish, finished

from repflow.core import BadFile, BadSetting, local_path
from repflow.store import compare, join, open_run

NAMES = ["s3:x", "file:x", "a:b", "file:///x", "~x y", "gs:bucket", "hdfs:x", "-x", "x?y#z", "C:x", "naïve é"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a current folder of the test's own."""
    for name in ("home", "here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_a_scheme_is_a_name(elsewhere: Path, name: str) -> None:
    directory = finished(Path(name))
    assert (elsewhere / "here" / name / "layers.parquet").is_file()
    assert [path.name for path in elsewhere.iterdir() if any(path.iterdir())] == ["here"]
    run = open_run(directory)
    assert run.layers["value"].tolist() == [0.25]
    assert len(run.pairs) == len(run.paths) == 1
    assert compare(run, open_run(name))["difference"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("given", ["~/x", Path("~/x")])
def test_home_is_home_for_writing_and_reading(elsewhere: Path, given: str | Path) -> None:
    """A run of the same name in a folder called `~` must not be read in its place."""
    other = finished(elsewhere / "here" / "~" / "x")
    with create(given) as writer:
        finish(writer)
    assert open_run(given).directory == elsewhere / "home" / "x"
    assert open_run(other).directory == elsewhere / "here" / "~" / "x"
    assert open_run(given).layers["value"].tolist() == [0.25]


def test_the_current_folder_may_change(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create(Path("r")) as writer:
        writer.save_part("a", {}, {})
        monkeypatch.chdir(elsewhere / "there")
        finish(writer)
    monkeypatch.chdir(elsewhere / "here")
    run = open_run("r")
    monkeypatch.chdir(elsewhere / "there")
    assert len(run.layers) == 1
    assert not any((elsewhere / "there").iterdir())
    join([elsewhere / "here" / "r"], "joined")
    assert (elsewhere / "there" / "joined" / "layers.parquet").is_file()


def test_what_cannot_be_a_path(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("", "a\0b"):
        with pytest.raises(BadSetting, match="without NUL"):
            local_path(given)
    gone = elsewhere / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadFile, match="the current folder is gone"):
        local_path("r")
    assert local_path("/r") == Path("/r")
