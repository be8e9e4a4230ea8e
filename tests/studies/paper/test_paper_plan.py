"""What a paper run takes, said before it is made."""

import re
from pathlib import Path

import pytest

from repflow.cli import main
from repflow.core import RepflowError
from repflow.studies.kit.progress import Silent
from repflow.studies.paper.plan import plan_paper
from repflow.studies.paper.settings import PARTS, PaperSettings, StudySettings

MAMBA = "config:mamba2,layers=2,width=16"


def test_every_part_has_its_tokens_and_time_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["paper", MAMBA, "--context", "48", "--examples", "9", "--sets", "16", "--plan"]) == 0
    told = capsys.readouterr().out
    found = re.findall(r"^  ([a-z-]+) +([\d.]+) M tokens +(\d+ s)$", told, flags=re.MULTILINE)
    assert tuple(name for name, _, _ in found) == PARTS
    assert "in all" in told
    assert re.search(r"^memory: \d+ MiB", told, flags=re.MULTILINE)
    assert "downloads: none" in told
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_here_is_planned_for_without_time() -> None:
    settings = PaperSettings(("no-such/model",), StudySettings(parts=("flow",)))
    told = plan_paper(settings, Silent())
    assert "without 1 model\n" in told
    assert "downloads: no-such/model: size not known, the hub cannot be reached" in told
    assert "memory, disk: not known" in told


def test_a_model_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RepflowError) as caught:
        plan_paper(PaperSettings((str(tmp_path),), StudySettings(parts=("flow",))), Silent())
    assert "\n" not in str(caught.value)
