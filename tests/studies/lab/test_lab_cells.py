"""A grid is checked before anything is trained: one line that names the place."""

from pathlib import Path
from typing import Any

import pytest

from repflow.core import BadFile, BadSetting, CallerError, UnknownName
from repflow.studies.lab.cells import Architecture, Grid, blocks_of
from repflow.studies.lab.grids import grid_of, presets


@pytest.mark.parametrize(
    ("layout", "blocks"),
    [("12m", "m" * 12), ("8m4a", "mmmmmmmmaaaa"), ("(2ma)x4", "mma" * 4), ("m a", "ma"), ("(ma)x2 a", "mamaa")],
)
def test_layouts(layout: str, blocks: str) -> None:
    assert blocks_of(layout) == blocks


@pytest.mark.parametrize("layout", ["", "12x", "8m-4a", "(2ma)4", "2ma)x4", "0m", "(ma)x0", "1025m", "٣m"])
def test_what_is_no_layout_is_refused(layout: str) -> None:
    with pytest.raises(BadSetting, match="layout"):
        blocks_of(layout)


def test_share_of_attention() -> None:
    assert Architecture(layout="10m2a").attention == pytest.approx(2 / 12)
    assert Architecture(family="llama", depth=3).blocks == "aaa"


ONE: dict[str, Any] = {"a": {"family": "llama"}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "no architectures"),
        ({"architectures": {"a": {"family": "gpt9"}}}, "gpt9"),
        ({"architectures": {"a": {"family": "llama", "layout": "8m"}}}, "layout is for"),
        ({"architectures": {"a": {"family": "mamba2", "norm": "none"}}}, "norm none"),
        ({"architectures": {"a": {"family": "llama", "width": 65}}}, "multiple of 32"),
        ({"architectures": {"a": {"family": "llama", "width": 0}}}, "width"),
        ({"architectures": {"a": {"family": "llama", "depth": 2.5}}}, "depth"),
        ({"architectures": {"a": {"family": "llama", "depth": True}}}, "depth"),
        ({"architectures": {"a": {"family": "llama", "rate": 0}}}, "rate"),
        ({"architectures": {"a": {"family": "llama", "breadth": 64}}}, "breadth"),
        ({"architectures": {"A/b": {}}}, "a name is"),
        ({"architectures": ["llama"]}, "architectures must hold"),
        ({"architectures": {"a": 3}}, "needs settings"),
        ({"architectures": ONE, "seeds": []}, "seeds"),
        ({"architectures": ONE, "seeds": [0, 0]}, "twice"),
        ({"architectures": ONE, "seeds": [-1]}, "seeds"),
        ({"architectures": ONE, "tokens": 5}, "tokens"),
        ({"architectures": ONE, "visits": 1}, "visits"),
        ({"architectures": ONE, "untrained": ONE}, "name each once"),
        ({"architectures": ONE, "flavour": 1}, "flavour"),
        ({"architectures": ONE, "losses": {"x": {"kind": "adaptive"}}}, "needs a target"),
        ({"architectures": ONE, "losses": {"x": {"kind": "fixed", "target": 0.1}}}, "needs a target"),
        ({"architectures": ONE, "losses": {"x": {"kind": "adaptive", "target": 2}}}, "target"),
        ({"architectures": ONE, "losses": {"x": {"kind": "fixed", "of": "joy"}}}, "joy"),
        ({"architectures": ONE, "losses": {"x": {"kind": "fixed", "weight": -1}}}, "weight"),
        ({"architectures": ONE, "losses": {"x": {"kind": "fixed", "weight": float("nan")}}}, "weight"),
        ({"architectures": ONE, "losses": {"x": {"kind": "fixed", "sites": "0.9-"}}}, "sites"),
        ({"architectures": ONE, "losses": {"x": {"kind": "adaptive", "target": "a"}}}, "target"),
    ],
)
def test_bad_grids_are_refused_in_one_line(given: dict[str, Any], told: str) -> None:
    with pytest.raises(CallerError, match=told) as refused:
        Grid.of("mine", given)
    assert "\n" not in str(refused.value)


def test_presets_are_grids_with_three_seeds() -> None:
    assert presets() == ["hybrids", "norms", "regularisers", "regularisers-ssm", "scaling", "scaling-trained"]
    for name in presets():
        grid = grid_of(name)
        assert {cell.seed for cell in grid.cells} == {0, 1, 2}
        assert len({cell.name for cell in grid.cells}) == len(grid.cells)
        assert grid.question.endswith("?")


def test_files_that_are_no_grids(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="hybrid"):
        grid_of("hybridz")
    with pytest.raises(BadFile, match="cannot read"):
        grid_of(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("architectures: [", encoding="utf-8")
    with pytest.raises(BadSetting, match="no YAML"):
        grid_of(str(broken))
    broken.write_text("- 1", encoding="utf-8")
    with pytest.raises(BadSetting, match="holds no grid"):
        grid_of(str(broken))
