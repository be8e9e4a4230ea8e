"""Checkpoint parts: bit for bit, whole or absent, under any name."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store_runs import part_of, parts

from repflow.core import BadFile
from repflow.store import RunWriter

ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=5),
    hnp.arrays(
        st.sampled_from(["f8", "f4", "f2", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
    ),
    max_size=3,
)


@given(
    key=st.text(max_size=300),
    arrays=ARRAYS,
    meta=st.dictionaries(st.text(max_size=5), st.floats() | st.integers(), max_size=3),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_part_survives_bit_for_bit(tmp_path: Path, key: str, arrays: dict, meta: dict) -> None:
    with RunWriter.create(tmp_path / "r", {}, "flow", overwrite=True) as writer:
        writer.save_part(key, arrays, meta)
        assert parts(writer) == [key]
        part = writer.read_part(key)
    assert part is not None
    read, facts = part
    assert facts.keys() == meta.keys()
    assert all(facts[name] == value or (math.isnan(facts[name]) and math.isnan(value)) for name, value in meta.items())
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()
        assert read[name].flags.writeable


def test_parts_outlive_the_writer_and_end_with_the_run(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        for key in ("0001/0002", "0001/0001", "../../escape", "A", "a"):
            writer.save_part(key, {"x": np.arange(3)}, {"key": key})
    assert not (tmp_path.parent / "escape.part").exists()
    with RunWriter.create(tmp_path, {}, "flow", resume=True) as writer:
        assert parts(writer) == ["../../escape", "0001/0001", "0001/0002", "A", "a"]
        assert all(part_of(writer, key)[1] == {"key": key} for key in parts(writer))
        writer.finish([], [], [], {})
    assert not (tmp_path / "checkpoint").exists()


def test_a_strided_array_is_kept_as_it_reads(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4).T[::2]
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        writer.save_part("a", {"x": array}, {})
        np.testing.assert_array_equal(part_of(writer, "a")[0]["x"], array)


def test_a_part_can_be_replaced(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        for value in (1, 2):
            writer.save_part("a", {}, {"value": value})
        assert part_of(writer, "a")[1] == {"value": 2}
        assert parts(writer) == ["a"]


def test_an_absent_part(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        assert writer.read_part("a") is None


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["x"]), np.array([object()])])
def test_an_array_that_cannot_be_kept(tmp_path: Path, array: np.ndarray) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        with pytest.raises(ValueError, match="array 'x' has dtype"):
            writer.save_part("a", {"x": array}, {})
        with pytest.raises(TypeError, match="no JSON form"):
            writer.save_part("a", {}, {"x": array})
        assert parts(writer) == []


@pytest.mark.parametrize("cut", [0, 7, 39, 40, 60, -1])
def test_a_torn_part_is_absent_and_goes(tmp_path: Path, cut: int) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        writer.save_part("a", {"x": np.arange(8.0)}, {})
        writer.save_part("b", {}, {})
        (path,) = (tmp_path / "checkpoint").glob("a*")
        path.write_bytes(path.read_bytes()[:cut])
        assert writer.read_part("a") is None
        assert not path.exists()
        assert parts(writer) == ["b"]


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        writer.save_part("a", {"x": np.arange(8.0)}, {})
        (path,) = (tmp_path / "checkpoint").glob("a*")
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
        assert parts(writer) == []
        assert not path.exists()


def test_a_part_under_another_name_is_not_taken_for_it(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, {}, "flow") as writer:
        writer.save_part("a", {}, {})
        (path,) = (tmp_path / "checkpoint").iterdir()
        path.rename(path.with_name(path.name.replace("a", "b", 1)))
        assert writer.read_part("b") is None


WRITER = """
import sys, itertools, numpy as np
from repflow.store import RunWriter
with RunWriter.create(sys.argv[1], {}, "flow", resume=True) as writer:
    print("ready", flush=True)
    first = next(i for i in itertools.count() if writer.read_part(f"{i:06d}") is None)
    for i in itertools.count(first):
        writer.save_part(f"{i:06d}", {"x": np.full(20_000, float(i))}, {"i": i})
"""


def test_killed_while_saving_leaves_only_whole_parts(tmp_path: Path) -> None:
    saved = 0
    for kill in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05 + 0.013 * kill)
            process.send_signal(signal.SIGKILL)
        with RunWriter.create(tmp_path, {}, "flow", resume=True) as writer:
            keys = parts(writer)
            assert keys == [f"{i:06d}" for i in range(len(keys))]
            assert len(keys) >= saved
            saved = len(keys)
            for i, key in enumerate(keys[-3:], start=saved - len(keys[-3:])):
                arrays, meta = part_of(writer, key)
                assert meta == {"i": i}
                np.testing.assert_array_equal(arrays["x"], float(i))
    assert saved > 4
    with RunWriter.create(tmp_path, {}, "flow", resume=True) as writer:
        writer.finish([], [], [], {})
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "checkpoint").exists()


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with RunWriter.create(tmp_path / "r", {}, "flow") as writer:
        writer.save_part("a", {}, {})
        monkeypatch.setattr("repflow.store.atomic.os.fsync", full)
        with pytest.raises(
            BadFile, match=r"cannot write the run directory .*/r: the disk is full; .*--resume"
        ) as caught:
            writer.save_part("b", {}, {})
        assert "\n" not in str(caught.value)
        assert parts(writer) == ["a"]
        assert not list(tmp_path.rglob("*.tmp"))
        monkeypatch.undo()
        writer.save_part("b", {}, {})
        assert parts(writer) == ["a", "b"]
