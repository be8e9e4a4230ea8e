"""The settings explain themselves, in Python as on the command line."""

import ast
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import repflow
from repflow.core import BadSetting, UnknownName
from repflow.studies.kit import settings
from repflow.studies.kit.fields import flat, from_flat, groups
from repflow.studies.kit.settings import FlowSettings

ONE = ("config:pythia",)


def fields_with_sentences(source: str) -> dict[str, list[tuple[str, str | None]]]:
    """Class -> its annotated fields, each with the string that follows it."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            followed = zip(node.body, [*node.body[1:], None], strict=True)
            found[node.name] = [(a.target.id, _text(b)) for a, b in followed if isinstance(a, ast.AnnAssign)]
    return found


def _text(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value.value
    return None


@pytest.mark.parametrize("kind", [*groups(FlowSettings).values(), FlowSettings], ids=lambda kind: kind.__name__)
def test_every_setting_has_its_sentence(kind: type[Any]) -> None:
    assert kind.__doc__
    described = fields_with_sentences(inspect.getsource(settings))[kind.__name__]
    assert described
    if kind is FlowSettings:
        described = [(name, text) for name, text in described if name not in groups(FlowSettings)]
    for name, text in described:
        assert text, name
        assert text.endswith("."), name
        assert text[0].isupper(), name


@pytest.mark.parametrize("name", [name for name in repflow.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_explained(name: str) -> None:
    thing = getattr(repflow, name)
    assert inspect.getdoc(thing)
    assert name in dir(repflow)
    members = [m for m in vars(thing).values() if inspect.isfunction(m)] if inspect.isclass(thing) else []
    assert all(inspect.getdoc(m) for m in members if not m.__name__.startswith("_"))


def test_no_name_is_made_up() -> None:
    with pytest.raises(AttributeError, match="no attribute 'flwo'"):
        repflow.flwo  # noqa: B018 - reading the name is the test


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"context": 300}, [300]),
        ({"context": np.int64(300)}, [300]),
        ({"context": (300, 1000)}, [300, 1000]),
        ({"text": Path("a.txt")}, ["a.txt"]),
        ({"text": [Path("a.txt"), "b.txt"]}, ["a.txt", "b.txt"]),
        ({"out": "runs/one"}, str(Path("runs/one").absolute())),
        ({"out": Path("runs/one")}, str(Path("runs/one").absolute())),
        ({"batch-tokens": 12}, 12),
        ({"data": None}, None),
        ({"sink_factor": 20}, 20.0),
    ],
)
def test_values_come_as_python_people_write_them(given: dict[str, Any], kept: Any) -> None:
    ((name, _),) = given.items()
    value = flat(from_flat(FlowSettings, ONE, given))[name.replace("-", "_")]
    assert (list(value) if isinstance(value, tuple) else value) == kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"examples": 1.5}, "examples must be a whole number, got 1.5"),
        ({"examples": "four"}, "examples must be a whole number, got 'four'"),
        ({"examples": -3}, "--examples must be at least 1, got -3"),
        ({"examples": 0}, "--examples must be at least 1, got 0"),
        ({"tokens": ["all", "all"]}, "--tokens names all twice"),
        ({"metrics": ["norm", "norm"]}, "--metrics names norm twice"),
        ({"context": {300}}, "context must be a whole number, got {300}"),
        ({"sink_factor": "ten"}, "sink_factor must be a number, got 'ten'"),
        ({"sink_factor": float("nan")}, "--sink-factor must be above 1"),
        ({"out": 3}, "out must be a path, got 3"),
        ({"sites": "HF"}, "unknown sites 'HF'"),
        ({"resume": 1, "out": "x"}, "resume must be true or false, got 1"),
        ({"overwrite": True}, "--overwrite needs --out"),
        ({"exampless": 3}, "did you mean examples"),
        ({"text": ""}, "--text needs the name of a file"),
    ],
)
def test_values_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises((BadSetting, UnknownName)) as caught:
        repflow.flow("config:pythia", **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("subjects", [[], [3], 3, None])
def test_subjects_that_cannot_be(subjects: Any) -> None:
    with pytest.raises(BadSetting, match="subject"):
        repflow.flow(subjects)


def test_metrics_go_by_the_names_of_their_quantities_too(tmp_path: Path) -> None:
    run = repflow.flow(
        "config:pythia,layers=2,width=32", metrics=["v_loc", "cka"], examples=5, context=16, out=tmp_path
    )
    assert set(run.paths["metric"]) >= {"v_loc", "path_length"}
    assert set(run.pairs["variant"]) == {"token", "example"}
    assert run.layers.empty
