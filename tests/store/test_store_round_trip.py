"""What is written is what is read, and the same rows are the same bytes."""

import dataclasses
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_rows import MakeRun, layer_row, pair_row, path_row, run_info

from repflow.core import LayerRow, PairRow, PathRow
from repflow.store import RunWriter, open_run
from repflow.store.plain_json import plain, to_bytes
from repflow.store.tables import read_table, table_bytes

TEXT = st.text(max_size=12)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
WHOLE = st.integers(-(2**63), 2**63 - 1)
FIELDS = {str: TEXT, int: WHOLE, float: ANY_FLOAT, int | None: st.none() | WHOLE}


def rows_of(row_type: type) -> st.SearchStrategy[list]:
    fields = {field.name: FIELDS[field.type] for field in dataclasses.fields(row_type)}
    return st.lists(st.builds(row_type, **fields), max_size=5)


def same(a: object, b: object) -> bool:
    if a is None or b is None or b is pd.NA:
        return a is None and (b is None or b is pd.NA)
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("row_type", [LayerRow, PairRow, PathRow])
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_survive_parquet(row_type: type, tmp_path: Path, data: st.DataObject) -> None:
    rows = data.draw(rows_of(row_type))
    path = tmp_path / "t.parquet"
    path.write_bytes(table_bytes(rows, row_type))
    frame = read_table(path, row_type)
    names = [field.name for field in dataclasses.fields(row_type)]
    assert list(frame.columns) == names
    assert len(frame) == len(rows)
    for row, read in zip(rows, frame.to_dict("records"), strict=True):
        assert all(same(getattr(row, name), read[name]) for name in names)
    assert table_bytes(rows, row_type) == path.read_bytes()


def test_an_empty_table_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(table_bytes([], LayerRow))
    frame = read_table(path, LayerRow)
    assert frame["value"].dtype == np.float64
    assert frame["n_examples"].dtype == np.int64
    assert frame["step"].dtype == pd.Int64Dtype()


@pytest.mark.parametrize("row", [layer_row(), pair_row(), path_row()])
def test_a_table_from_before_steps_has_none(tmp_path: Path, row: LayerRow | PairRow | PathRow) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(table_bytes([row], type(row)))
    pq.write_table(pq.read_table(path).drop_columns(["step"]), path)
    frame = read_table(path, type(row))
    assert frame["step"].dtype == pd.Int64Dtype()
    assert frame["step"].isna().tolist() == [True]


def test_a_step_keeps_all_its_digits_beside_a_row_without(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(table_bytes([layer_row(step=2**53 + 1), layer_row(), layer_row(step=0)], LayerRow))
    steps = read_table(path, LayerRow)["step"]
    assert steps.isna().tolist() == [False, True, False]
    assert int(steps[0]) == 2**53 + 1
    assert (steps == 0).fillna(False).tolist() == [False, False, True]


def test_two_runs_of_one_thing_are_the_same_bytes(make_run: MakeRun) -> None:
    layers = [layer_row(site_index=i, value=i / 7) for i in range(6)]
    runs = [
        make_run(
            name, layers, run_info("m"), pairs=[pair_row()], paths=[path_row()], replicates={"layers": np.ones((6, 3))}
        )
        for name in ("one", "two")
    ]
    names = sorted(path.name for path in runs[0].directory.iterdir())
    assert names == [
        "findings.json", "layers.parquet", "pairs.parquet", "paths.parquet", "replicates.safetensors", "run.json",
    ]  # fmt: skip
    for name in names:
        assert (runs[0].directory / name).read_bytes() == (runs[1].directory / name).read_bytes()


def test_nan_is_a_number_and_not_a_gap() -> None:
    column = pq.read_table(io.BytesIO(table_bytes([layer_row(value=math.nan)], LayerRow)))["value"]
    assert column.null_count == 0
    assert math.isnan(column[0].as_py())


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    row = layer_row(value=np.float32(0.25), site_index=np.int32(2))
    (tmp_path / "t.parquet").write_bytes(table_bytes([row], LayerRow))
    frame = read_table(tmp_path / "t.parquet", LayerRow)
    assert frame.loc[0, "value"] == 0.25
    assert frame.loc[0, "site_index"] == 2


@pytest.mark.parametrize("changes", [{"n_tokens": 1.5}, {"n_tokens": True}, {"value": "0.5"}, {"subject": 3}])
def test_a_value_of_the_wrong_type_is_refused(changes: dict) -> None:
    with pytest.raises(TypeError, match=f"column '{next(iter(changes))}'"):
        table_bytes([dataclasses.replace(layer_row(), **changes)], LayerRow)


def test_rows_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="expected LayerRow rows, got PathRow"):
        table_bytes([path_row()], LayerRow)


@dataclasses.dataclass(frozen=True)
class ProbeLike:
    subject: str
    accuracy: float
    chance: float | None = None


def test_other_tables_go_the_same_way(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "r", {}, "probe") as writer:
        writer.write_table("others", [ProbeLike("a", 0.5), ProbeLike("b", math.nan, 0.1)], ProbeLike)
        writer.finish([], [], [], {})
    run = open_run(tmp_path / "r")
    assert run.table("others")["subject"].tolist() == ["a", "b"]
    assert run.table("others")["chance"].isna().tolist() == [True, False]
    assert run.table("nothing").empty
    with pytest.raises(ValueError, match="name"):
        RunWriter.create(tmp_path / "s", {}, "probe").write_table("../x", [], ProbeLike)


def test_a_run_without_probes_has_an_empty_frame(make_run: MakeRun) -> None:
    run = make_run("r", [layer_row()], run_info("m"))
    assert isinstance(run.table("probes"), pd.DataFrame)
    assert run.table("probes").empty


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | ANY_FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_json_is_strict_and_stable(value: object) -> None:
    data = to_bytes(value)
    read = json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == plain(value)
    assert plain(read) == read


def test_json_takes_what_studies_hold() -> None:
    given_ = {
        "nan": math.nan, "inf": -math.inf, "np": np.float64(2.5), "flag": np.bool_(True), "array": np.arange(3),
        "tuple": (1, 2), "set": {"b", "a"}, "path": Path("x/é"), "row": ProbeLike("ü", np.nan), 3: "three",
    }  # fmt: skip
    assert plain(given_) == {
        "nan": None, "inf": None, "np": 2.5, "flag": True, "array": [0, 1, 2], "tuple": [1, 2], "set": ["a", "b"],
        "path": "x/é", "row": {"subject": "ü", "accuracy": None, "chance": None}, "3": "three",
    }  # fmt: skip
    assert "é".encode() in to_bytes(given_)
    assert list(plain({"b": 1, "a": 2})) == ["a", "b"]
    with pytest.raises(TypeError, match="object has no JSON form"):
        plain({"x": object()})


def test_a_name_that_is_not_utf8_can_be_kept(make_run: MakeRun) -> None:
    label = b"m\xe9".decode("utf-8", "surrogateescape")
    run = make_run("r", [layer_row(label)], run_info(label))
    assert run.layers["subject"].tolist() == [run.subjects[0]["label"]] == ["m\\udce9"]


def test_findings_replicates_and_info_come_back(make_run: MakeRun) -> None:
    replicates = {"layers": np.arange(6.0).reshape(2, 3), "paths": np.full((1, 3), np.nan)}
    findings = [{"id": "early_homogenisation", "value": math.nan, "subject": "ü"}]
    layers = [layer_row(site_index=i) for i in range(2)]
    run = make_run("r", layers, run_info("m"), paths=[path_row()], replicates=replicates, findings=findings)
    assert run.findings == [{"id": "early_homogenisation", "value": None, "subject": "ü"}]
    assert run.replicates["layers"].dtype == np.float32
    np.testing.assert_array_equal(run.replicates["layers"], replicates["layers"])
    assert np.isnan(run.replicates["paths"]).all()
    assert run.settings == {"seed": 0}
    assert run.info["command"] == "flow"
    assert run.subjects[0]["label"] == "m"


def test_lines_without_replicates_take_no_room_and_come_back_nan(make_run: MakeRun) -> None:
    replicates = np.arange(600.0).reshape(6, 100)
    replicates[[0, 3, 4]] = np.nan
    whole = make_run("whole", [layer_row() for _ in range(6)], run_info("m"), replicates={"layers": np.ones((6, 100))})
    run = make_run("r", [layer_row() for _ in range(6)], run_info("m"), replicates={"layers": replicates})
    np.testing.assert_array_equal(run.replicates["layers"], replicates)
    sizes = [(each.directory / "replicates.safetensors").stat().st_size for each in (whole, run)]
    assert sizes[0] - sizes[1] > 1000


def test_replicates_must_fit_their_table(make_run: MakeRun) -> None:
    with pytest.raises(ValueError, match="the table has 1 rows"):
        make_run("a", [layer_row()], run_info("m"), replicates={"layers": np.zeros((2, 5))})
    with pytest.raises(ValueError, match="known tables"):
        make_run("b", [layer_row()], run_info("m"), replicates={"other": np.zeros((1, 5))})


def test_info_may_not_hide_what_the_store_writes(tmp_path: Path) -> None:
    with (
        RunWriter.create(tmp_path / "r", {}, "flow") as writer,
        pytest.raises(ValueError, match="info may not hold settings, status"),
    ):
        writer.finish([], [], [], {"status": "x", "settings": {}})
    assert not (tmp_path / "r").exists()


def test_the_store_is_light() -> None:
    heavy = "[m for m in ('torch', 'transformers', 'pandas', 'pyarrow', 'rich') if m in sys.modules]"
    code = f"import sys, repflow.store; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
