"""The notebook runs from its first cell to its last, and its words say what its cells print."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first-steps.ipynb"


def _cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """The names that the cells leave, and what each cell shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        names: dict[str, Any] = {"__name__": "__main__"}
        yield names, [_shown("".join(cell["source"]), names) for cell in _cells("code")]


def _shown(code: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: the value of an expression that ends it is shown."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_it_runs_and_every_cell_shows_something(ran: tuple[dict[str, Any], list[Any]]) -> None:
    names, shown = ran
    assert all(value is not None for value in shown)
    assert "llama-tiny" in shown[0]._repr_html_()
    assert {trace.name for trace in shown[1].data} >= {"llama-tiny", "mamba2-tiny"}
    assert "32 examples" in repr(names["flow"])
    assert "mine" in names["mine"]._repr_html_()
    assert shown[-1].stat().st_size > 1000


def test_the_numbers_in_its_words_are_those_of_its_cells(ran: tuple[dict[str, Any], list[Any]]) -> None:
    names, _ = ran
    words = "\n".join("".join(cell["source"]) for cell in _cells("markdown"))
    told = [float(number) for number in re.findall(r"\*\*(\d\.\d\d)\*\*", words)]
    sites = ["block.0", "block.11"]
    found = [*names["raw"].loc[sites].to_numpy().flat, *names["centred"].loc[sites].to_numpy().flat]
    assert told == pytest.approx(found, abs=0.0051)


def test_the_verdicts_in_its_words_are_those_of_its_cells(ran: tuple[dict[str, Any], list[Any]]) -> None:
    verdicts = ran[0]["shares"].set_index(["subject", "third"])["verdict"]
    assert set(verdicts["zoo:mamba2-tiny"]) == {"training"}
    assert verdicts["zoo:llama-tiny"].to_dict() == {
        "early": "undecided",
        "middle": "reduced by training",
        "late": "reduced by training",
    }


def test_it_is_kept_without_outputs() -> None:
    assert not any(cell["outputs"] or cell["execution_count"] for cell in _cells("code"))


def test_its_links_lead_somewhere() -> None:
    words = "\n".join("".join(cell["source"]) for cell in _cells("markdown"))
    targets = re.findall(r"\]\(([^)]+)\)", words)
    assert targets
    assert all((NOTEBOOK.parent / target).exists() for target in targets)
