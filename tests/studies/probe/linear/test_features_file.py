"""The feature file: what is written is read, a kill costs the last piece only, and no other file is taken for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repflow.core import BadFile, BadSetting, StoreConflict
from repflow.studies.probe.linear.features import FeatureFacts, FeatureFile

N = 7


def facts(**changes: Any) -> FeatureFacts:
    found = FeatureFacts(
        subject="config:pythia",
        weights_sha256="a" * 64,
        task="kvpr",
        context=300,
        examples_sha256="e" * 64,
        states_dtype="bfloat16",
        places=("last", "mean"),
        sites=("embed", "block.0", "final_norm"),
        width=4,
        example_ids=tuple(range(N)),
        labels=tuple(i % 3 for i in range(N)),
        groups=tuple(i // 3 for i in range(N)),
    )
    return replace(found, **changes)


def states(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 3, n, 4)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features" / "00-kvpr-300.npy"


@pytest.mark.parametrize("sizes", [(7,), (3, 4), (1, 1, 1, 1, 1, 1, 1)])
def test_pieces_of_any_size_are_read_as_they_were_written(path: Path, sizes: tuple[int, ...]) -> None:
    whole = states()
    file = FeatureFile.create(path, facts())
    for size in sizes:
        file.write(file.done, whole[:, :, file.done : file.done + size])
    read = FeatureFile.open(path, facts())
    assert np.array_equal(read.states("last"), whole[0])
    assert np.array_equal(read.states("mean"), whole[1])
    assert isinstance(read.states("last"), np.memmap)
    assert np.array_equal(np.load(path), whole), "a plain .npy file for people"


def test_a_file_left_in_the_middle_goes_on_from_there(path: Path) -> None:
    whole = states()
    file = FeatureFile.create(path, facts())
    file.write(0, whole[:, :, :3])
    begun = FeatureFile.open(path, facts())
    assert begun.done == 3
    with pytest.raises(BadFile, match=r"holds 3 of 7 examples; --resume"):
        begun.states("last")
    begun.write(2, whole[:, :, 2:])
    assert np.array_equal(FeatureFile.open(path).states("mean"), whole[1])
    with pytest.raises(ValueError, match="do not follow"):
        FeatureFile.create(path, facts()).write(1, whole[:, :, 1:])


def test_beside_it_stands_what_it_holds(path: Path) -> None:
    FeatureFile.create(path, facts()).write(0, states())
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["dtype"] == "float32"
    assert told["states_dtype"] == "bfloat16"
    assert told["shape"] == [2, 3, N, 4]
    assert told["example_ids"] == list(range(N))
    assert told["sites"] == ["embed", "block.0", "final_norm"]
    assert told["done"] == N


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "config:llama"},
        {"weights_sha256": "b" * 64},
        {"states_dtype": "float32"},
        {"context": 1000},
        {"examples_sha256": "f" * 64},
        {"places": ("last", "gold")},
        {"example_ids": tuple(range(1, N + 1))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_features_of_another_run_are_refused(path: Path, change: dict[str, Any]) -> None:
    FeatureFile.create(path, facts()).write(0, states())
    with pytest.raises(StoreConflict, match=f"another run, its {next(iter(change))} differs") as error:
        FeatureFile.open(path, facts(**change))
    assert "\n" not in str(error.value)
    assert "--overwrite" in str(error.value)


@pytest.mark.parametrize(("by", "said"), [(-1, "cut short"), (-200, "cut short"), (4, "too long")])
def test_a_file_of_another_length_is_refused(path: Path, by: int, said: str) -> None:
    FeatureFile.create(path, facts()).write(0, states())
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.truncate(size + by)
    with pytest.raises(BadFile, match=rf"is {said}: {size + by:,} bytes, needs {size:,}"):
        FeatureFile.open(path, facts())


def test_an_array_of_another_dtype_or_shape_is_refused(path: Path) -> None:
    FeatureFile.create(path, facts()).write(0, states())
    np.save(path, states().astype(np.float16))
    with pytest.raises(BadFile, match="float16"):
        FeatureFile.open(path, facts())
    np.save(path, states(N - 1))
    with pytest.raises(BadFile, match=r"\[2, 3, 6, 4\]"):
        FeatureFile.open(path, facts())


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"format": "other"}'])
def test_broken_facts_are_refused(path: Path, content: bytes) -> None:
    FeatureFile.create(path, facts()).write(0, states())
    path.with_suffix(".json").write_bytes(content)
    with pytest.raises(BadFile, match="does not describe a feature file"):
        FeatureFile.open(path)


def test_a_file_that_is_none_is_refused(path: Path) -> None:
    FeatureFile.create(path, facts()).write(0, states())
    path.write_bytes(b"not numpy")
    with pytest.raises(BadFile, match="no feature file"):
        FeatureFile.open(path)
    path.unlink()
    with pytest.raises(BadFile, match="no feature file"):
        FeatureFile.open(path)


def test_a_place_it_lacks(path: Path) -> None:
    file = FeatureFile.create(path, facts())
    file.write(0, states())
    with pytest.raises(BadSetting, match="holds the places last, mean, asked for 'gold'"):
        file.states("gold")


def test_states_of_another_shape_are_our_own_mistake(path: Path) -> None:
    with pytest.raises(ValueError, match="do not follow"):
        FeatureFile.create(path, facts()).write(0, states()[:, :2])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file", encoding="utf-8")
    with pytest.raises(BadFile, match="a part of the path is a file"):
        FeatureFile.create(tmp_path / "features" / "x.npy", facts())


def test_removed_with_its_facts_and_the_empty_folder(path: Path) -> None:
    file = FeatureFile.create(path, facts())
    file.discard(path)
    assert not path.parent.exists()
    kept = FeatureFile.create(path, facts())
    other = FeatureFile.create(path.with_name("01.npy"), facts())
    kept.discard(path)
    assert sorted(p.name for p in path.parent.iterdir()) == [other.path.name, "01.json"][::-1]
