"""Links in a run directory are never followed to delete or to replace what they lead to."""

from collections.abc import Callable
from pathlib import Path

import pytest
from store_runs import create, finish, finished, names, unfinished

from repflow.core import BadFile, StoreConflict
from repflow.report import write_figures, write_report
from repflow.store import open_run, write_file

FOLDERS = ("checkpoint", "features", "figures")
FILES = ("layers.parquet", "findings.json", "replicates.safetensors", "report.html", "run.json")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Somebody's folder, with the names a run has."""
    folder = tmp_path / "outside"
    folder.mkdir()
    kept = ("a.part", "b.npy", "c.json", ".repflow-1-2.tmp", "inter_token_cosine_text-128.png", "probe_table.csv")
    for name in (*kept, *FILES):
        (folder / name).write_text('{"format": "repflow features"}')
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("make", [finished, unfinished])
def test_overwriting_takes_links_and_not_what_they_lead_to(
    tmp_path: Path, outside: Path, make: Callable[[Path], Path]
) -> None:
    directory = make(tmp_path / "r")
    before = content(outside)
    for name in (*FOLDERS, *FILES[:-1]):
        path = directory / name
        if path.is_dir():
            path.rename(tmp_path / "moved")
        path.unlink(missing_ok=True)
        path.symlink_to(outside / name if "." in name else outside)
    (directory / "mine").symlink_to(outside)
    with create(directory, {"context": 1}, overwrite=True) as writer:
        writer.save_part("a", {}, {})
        assert not (directory / "checkpoint").is_symlink()
        finish(writer)
    assert content(outside) == before
    assert not any(path.is_symlink() for path in directory.iterdir() if path.name != "mine")
    assert (directory / "mine").is_symlink()
    assert open_run(directory).layers["value"].tolist() == [0.25]


@pytest.mark.parametrize("name", ["checkpoint", "features"])
def test_resuming_through_a_link_is_refused(tmp_path: Path, outside: Path, name: str) -> None:
    directory = unfinished(tmp_path / "r")
    if (directory / name).is_dir():
        (directory / name).rename(tmp_path / "moved")
    (directory / name).symlink_to(outside)
    before = content(outside)
    with pytest.raises(StoreConflict, match=rf"{name} is a link"):
        create(directory, resume=True)
    assert content(outside) == before


def test_a_link_that_came_while_the_run_went_is_not_followed_at_its_end(tmp_path: Path, outside: Path) -> None:
    directory = tmp_path / "r"
    before = content(outside)
    with create(directory) as writer:
        writer.save_part("a", {}, {})
        (directory / "checkpoint").rename(tmp_path / "moved")
        (directory / "checkpoint").symlink_to(outside)
        finish(writer)
    assert content(outside) == before
    assert "checkpoint" not in names(directory)


def test_the_report_replaces_a_link_and_figures_refuse_one(tmp_path: Path, outside: Path) -> None:
    run = open_run(finished(tmp_path / "r"))
    (run.directory / "report.html").symlink_to(outside / "report.html")
    (run.directory / "figures").symlink_to(outside)
    before = content(outside)
    assert write_report(run).stat().st_size > 1_000
    assert not (run.directory / "report.html").is_symlink()
    with pytest.raises(BadFile, match="figures is a link"):
        write_figures(run, ("svg",))
    assert content(outside) == before


def test_a_file_is_written_over_a_link_and_into_a_pipe(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside / "c.json")
    before = content(outside)
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").read_bytes() == b"new"
    assert content(outside) == before
    write_file(Path("/dev/null"), b"gone")
    assert not Path("/dev/null").is_file()
