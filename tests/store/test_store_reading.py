"""Opening a run directory: what is refused, and what a run says of itself."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from store_rows import MakeRun, layer_row, path_row, run_info
from store_runs import edit, unseal

from repflow.core import BadFile, LayerRow, StoreConflict
from repflow.store import Run, RunWriter, open_run
from repflow.store.tables import read_table, table_bytes


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run("r", [layer_row()], run_info("m"), paths=[path_row()])


def test_not_a_run_directory(tmp_path: Path, run: Run) -> None:
    with pytest.raises(BadFile, match="does not exist"):
        open_run(tmp_path / "absent")
    with pytest.raises(BadFile, match="is a file"):
        open_run(run.directory / "run.json")
    with pytest.raises(BadFile, match=r"no run\.json"):
        open_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[1]", '{"schema_version": 1, "status": "finished"}', "\xff"])
def test_a_run_json_of_someone_else(run: Run, text: str) -> None:
    (run.directory / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadFile, match=r"run\.json"):
        open_run(run.directory)


def test_a_newer_schema_says_to_upgrade(run: Run) -> None:
    edit(run.directory, schema_version=7)
    with pytest.raises(BadFile, match=r"schema version 7.*reads up to 1; upgrade repflow"):
        open_run(run.directory)


@pytest.mark.parametrize("version", [0, "1", None, True])
def test_a_version_that_is_none(run: Run, version: object) -> None:
    edit(run.directory, schema_version=version)
    with pytest.raises(BadFile, match="needed a whole number from 1"):
        open_run(run.directory)


def test_unknown_keys_are_kept(run: Run) -> None:
    edit(run.directory, from_the_future={"x": 1})
    assert open_run(run.directory).info["from_the_future"] == {"x": 1}


def test_a_lacking_key_is_named(run: Run) -> None:
    marker = json.loads((run.directory / "run.json").read_text())
    del marker["settings"]
    (run.directory / "run.json").write_text(json.dumps(marker))
    with pytest.raises(BadFile, match="lacks settings"):
        open_run(run.directory)


def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "r", {}, "flow") as writer:
        writer.save_part("a", {}, {})
    with pytest.raises(StoreConflict, match=r"unfinished flow run \(1 checkpoint parts saved\).*--resume"):
        open_run(tmp_path / "r")


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_broken_table_of_a_run_without_checksums_is_named(run: Run, damage: bytes | None) -> None:
    path = unseal(run.directory) / "layers.parquet"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert len(open_run(run.directory).paths) == 1
    with pytest.raises(BadFile, match=r"layers\.parquet"):
        _ = open_run(run.directory).layers


def test_a_truncated_table_is_named(run: Run) -> None:
    path = unseal(run.directory) / "layers.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadFile, match=r"layers\.parquet is not a readable parquet file"):
        _ = open_run(run.directory).layers


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", "[" * 3_000])
def test_broken_findings_are_named(run: Run, text: str) -> None:
    (unseal(run.directory) / "findings.json").write_text(text)
    with pytest.raises(BadFile, match=r"findings\.json"):
        _ = open_run(run.directory).findings


def test_broken_replicates_are_named(run: Run) -> None:
    assert run.replicates == {}
    (unseal(run.directory) / "replicates.safetensors").write_bytes(b"\0" * 30)
    with pytest.raises(BadFile, match=r"replicates\.safetensors"):
        _ = open_run(run.directory).replicates


@dataclass(frozen=True)
class Old:
    subject: str
    value: float
    extra: str


@dataclass(frozen=True)
class Newer:
    subject: str
    note: str
    value: float
    unit: str = "nat"


def test_columns_are_read_tolerantly(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(table_bytes([Old("s", 1.0, "x")], Old))
    with pytest.raises(BadFile, match=r"lacks the column\(s\) note"):
        read_table(path, Newer)

    @dataclass(frozen=True)
    class Mild:
        value: float
        unit: str = "nat"

    frame = read_table(path, Mild)
    assert list(frame.columns) == ["value", "unit", "subject", "extra"]
    assert frame["unit"].tolist() == ["nat"]


def test_a_table_of_a_newer_schema(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"subject": ["s"]}).replace_schema_metadata({"repflow.schema_version": "9"})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(BadFile, match="schema version 9"):
        read_table(tmp_path / "t.parquet", LayerRow)


def test_frames_are_read_once(run: Run) -> None:
    assert run.layers is run.layers


def test_a_run_can_be_subclassed(run: Run) -> None:
    class Public(Run):
        @property
        def plot(self) -> str:
            return f"plots of {len(self.layers)}"

    assert Public.load(run.directory).plot == "plots of 1"


def test_a_run_shows_itself_with_markup_escaped(make_run: MakeRun) -> None:
    label = "<script>alert('x')</script>&"
    run = make_run("r", [layer_row(label)], run_info(label, "b", "c", "d"))
    page = run._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;" in page
    assert page.count("<tr>") == 5
    assert repr(run).endswith("flow: <script>alert('x')</script>&, b, c, ...)")


def test_the_report_is_found_where_there_is_one(run: Run) -> None:
    assert run.report is None
    (run.directory / "report.html").write_text("x")
    assert run.report == run.directory / "report.html"
