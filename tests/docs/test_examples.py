"""The documentation's Python examples run, its commands parse, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from repflow.studies.catalogue import STUDIES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


EXAMPLES = [pytest.param(code, id=f"{p.stem}-{i}") for p in PAGES for i, code in enumerate(_blocks(p))]


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_examples_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "example"})


def _commands() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES)
    studies = "|".join(each.name for each in STUDIES if each.purpose)
    found = re.findall(rf"^ {{4}}(repflow (?:{studies}) .*?)(?:\s+#.*)?$", text, flags=re.MULTILINE)
    return sorted(set(found))


@pytest.mark.parametrize("command", _commands())
def test_commands_parse(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from repflow.cli.arguments import parse, yaml_settings
    from repflow.cli.study import command_of
    from repflow.studies.catalogue import study
    from repflow.studies.kit.fields import from_flat, named

    monkeypatch.chdir(ROOT / "studies" / "zoo-second-edition")  # where files of settings are named from
    _, name, *arguments = shlex.split(command)
    assert not [each for each in arguments if each.endswith(".yaml") and "--config" not in arguments]
    values, rest = yaml_settings(arguments)
    asked = parse(command_of(study(name)), name, rest)
    assert asked.subjects
    if values:
        subjects = named(values.pop("subjects", asked.subjects))
        assert from_flat(study(name).settings(), subjects, values).subjects


def _lab_commands() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES)
    return sorted(set(re.findall(r"^ {4}(repflow lab .*?)(?:\s+#.*)?$", text, flags=re.MULTILINE)))


@pytest.mark.parametrize("command", _lab_commands())
def test_lab_commands_name_grids(command: str) -> None:
    from repflow.cli.arguments import parse
    from repflow.studies.lab.grids import grid_of
    from repflow.studies.lab.settings import LabSettings

    _, _, grid, *arguments = shlex.split(command)
    assert grid_of(parse(LabSettings, "lab", ["--grid", grid, *arguments]).grid).cells


def test_the_grid_of_the_page_on_the_lab_is_one() -> None:
    from yaml import safe_load

    from repflow.studies.lab.cells import Grid

    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "lab.md").read_text(), flags=re.DOTALL)
    assert len(Grid.of("mine", safe_load(text)).cells) == 3 * (4 * 2 + 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing, f"{page.name} links to nothing at {missing}"
