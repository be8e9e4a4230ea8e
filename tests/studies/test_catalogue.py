"""What every study has in common: settings with a sentence each, a command, a function, tables with a row type."""

import ast
import inspect
import typing
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest

import repflow
from repflow.cli.study import command_of
from repflow.studies.catalogue import STUDIES, study, tables
from repflow.studies.kit.fields import flat, from_flat, groups
from repflow.studies.kit.settings import ZOO
from repflow.studies.kit.study import Study

COMMANDS = [each for each in STUDIES if each.purpose]
NAMES = [each.name for each in COMMANDS]


@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_every_setting_has_its_sentence(each: Study) -> None:
    for kind in groups(each.settings()).values():
        tree = ast.parse(inspect.getsource(inspect.getmodule(kind)))
        (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
        for here, after in pairwise([*body, None]):
            if isinstance(here, ast.AnnAssign):
                assert isinstance(after, ast.Expr), ast.unparse(here)
                text = ast.literal_eval(after.value)
                assert text[0].isalnum()
                assert text.endswith("."), ast.unparse(here)


@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_settings_have_one_name_and_come_back_from_their_flat_form(each: Study) -> None:
    kind = each.settings()
    names = [field.name for section in groups(kind).values() for field in fields(section)]
    assert len(set(names)) == len(names)
    assert flat(kind()).keys() == {"subjects", *names}
    values = flat(kind())
    subjects = tuple(values.pop("subjects"))
    assert from_flat(kind, subjects, values) == kind() == from_flat(kind, ZOO, {})


@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_the_function_has_the_settings_of_the_command_by_name_type_and_default(each: Study) -> None:
    function, kind = getattr(repflow, each.name), each.settings()
    known = dict(inspect.signature(function).parameters)
    assert known.pop("subjects").default == ZOO
    known.pop("progress")
    standard = kind()
    expected = {
        field.name: (getattr(getattr(standard, group), field.name), _asked(hint[field.name]))
        for group, section in groups(kind).items()
        for hint in [typing.get_type_hints(section)]
        for field in fields(section)
    }
    hints = typing.get_type_hints(inspect.unwrap(function))
    assert {name: (p.default, str(hints[name])) for name, p in known.items()} == expected


def _asked(hint: Any) -> str:
    """The type that a function takes for a setting: one value or several, a path or its name."""
    from collections.abc import Sequence
    from pathlib import Path

    if typing.get_origin(hint) is tuple:
        (one, _) = typing.get_args(hint)
        return str(one | Sequence[one])
    return str(str | hint) if Path in typing.get_args(hint) else str(hint)


@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_the_command_adds_only_the_report_series_of_flow_and_plans(each: Study) -> None:
    asked = {field.name for field in fields(command_of(each))}
    assert asked == {field.name for field in fields(each.settings())} | {"report"} | (
        {"series"} if each.series else set()
    ) | ({"plan"} if each.plans else set())


def test_studies_are_found_by_name() -> None:
    assert [study(each.name) for each in STUDIES] == list(STUDIES)
    with pytest.raises(repflow.RepflowError, match="did you mean probe"):
        study("prob")
    written = [name for each in STUDIES for name in each.tables]
    assert sorted(tables()) == sorted(written), "no two studies write a table of one name"
