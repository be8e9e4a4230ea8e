"""A grid trains, is measured, goes on where it was stopped, and loses no more than the cell that fails."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from zoo_kit import prose

from repflow.cli import main
from repflow.core import CallerError, StoreConflict
from repflow.store import open_run
from repflow.studies.kit.settings import OutputSettings
from repflow.studies.lab.settings import LabPlace, LabSettings
from repflow.training import run_lab
from repflow.training.errors import Diverged
from repflow.training.lab import cell as cells
from repflow.training.lab.cell import visited
from repflow.training.lab.rows import answers_right

GRID: dict[str, Any] = {
    "question": "Which of them?",
    "tokens": 10_000,
    "visits": 2,
    "seeds": [0],
    "architectures": {
        "attention": {"family": "llama", "depth": 2, "width": 32},
        "neox": {"family": "gpt_neox", "depth": 2, "width": 32},
        "bare": {"family": "llama", "depth": 2, "width": 32, "norm": "none", "rate": 0.25},
    },
    "losses": {"none": {}, "held": {"kind": "adaptive", "target": -0.5, "sites": "0.5-1"}},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "prose.txt").write_text(prose()[:120_000], encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _little_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are whole; of each kind of row a few are asked, and the flow is measured on short texts."""
    few = [replace(asked, rows=asked.rows if asked.task == "pairs" else 4) for asked in cells.ASKED]
    monkeypatch.setattr(cells, "ASKED", tuple(few))
    monkeypatch.setattr(cells, "CONTEXT", 64)
    monkeypatch.setattr(cells, "EXAMPLES", 8)


def settings(grid: Path, data: Path, out: Path, **place: Any) -> LabSettings:
    resume = place.pop("resume", False)
    return LabSettings(str(grid), LabPlace(data, device="cpu", **place), OutputSettings(out=out, resume=resume))


def grid_file(folder: Path, **changed: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(GRID | changed, sort_keys=False), encoding="utf-8")
    return path


def test_three_architectures_by_two_losses(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")
    out = tmp_path / "run"
    command = ["lab", str(grid_file(tmp_path)), "--data", str(data), "--device", "cpu", "--out", str(out), "--weights"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "Which of them?" in said.out
    run = open_run(out)
    assert run.info["command"] == "lab"
    assert len(run.subjects) == 6
    answered = run.table("cells")
    assert set(answered["step"]) == {0, int(answered["step"].max())}
    pairs = answered[answered["task"] == "pairs"].set_index(["subject", "step"])["nats"]
    last = answered["step"].max()
    for subject in {row["label"] for row in run.subjects}:
        assert pairs[subject, last] < pairs[subject, 0] - (0.0 if subject.startswith("bare") else 0.1)
    weights = [
        line[2] for line in next(s for s in run.subjects if s["label"] == "attention+held:0")["training"]["losses"]
    ]
    assert weights[0] >= 0.0
    assert weights[-1] > 0.0
    kept = tmp_path / "run-models" / "attention-0"
    assert main(["flow", str(kept), "--examples", "2", "--context", "32", "--out", str(tmp_path / "flow")]) == 0
    assert not (tmp_path / "run-models" / "bare-0").exists()


def test_a_failed_cell_is_named_and_the_others_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = cells.learn

    def learn(model: Any, cell: Any, *rest: Any) -> Any:
        if cell.architecture_name == "neox":
            raise Diverged(7)
        return true(model, cell, *rest)

    monkeypatch.setattr(cells, "learn", learn)
    grid = grid_file(tmp_path, losses={"none": {}})
    run = run_lab(settings(grid, data, tmp_path / "run"))
    assert run is not None
    assert [row["label"] for row in run.subjects] == ["attention:0", "bare:0"]
    failures = run.table("failures").to_dict("records")
    assert [(row["subject"], row["reason"][:9]) for row in failures] == [("neox:0", "Diverged:")]
    assert any("neox:0: not trained to its end" in line for line in run.info["warnings"])


def test_cells_that_are_done_are_not_trained_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grid_file(tmp_path, losses={"none": {}})
    out = tmp_path / "run"
    assert run_lab(settings(grid, data, out, only=("attention:0",))) is None
    true, trained = cells.learn, []

    def learn(model: Any, cell: Any, *rest: Any) -> Any:
        trained.append(cell.name)
        if cell.name == "bare:0":
            raise KeyboardInterrupt
        return true(model, cell, *rest)

    monkeypatch.setattr(cells, "learn", learn)
    with pytest.raises(CallerError):
        run_lab(settings(grid, data, out))
    with pytest.raises((KeyboardInterrupt, Exception), match="interrupted"):
        run_lab(settings(grid, data, out, resume=True))
    assert trained == ["neox:0", "bare:0"]
    monkeypatch.setattr(cells, "learn", true)
    run = run_lab(settings(grid, data, out, resume=True))
    assert run is not None
    assert len(run.subjects) == 3


def test_a_failed_cell_is_tried_again_when_the_run_is_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = grid_file(tmp_path, losses={"none": {}})
    out = tmp_path / "run"
    true, tried = cells.learn, []

    def learn(model: Any, cell: Any, *rest: Any) -> Any:
        tried.append(cell.name)
        if tried == ["attention:0"]:
            raise MemoryError("for now")
        return true(model, cell, *rest)

    monkeypatch.setattr(cells, "learn", learn)
    assert run_lab(settings(grid, data, out, only=("attention:0", "neox:0"))) is None
    run = run_lab(settings(grid, data, out, resume=True))
    assert run is not None
    assert tried == ["attention:0", "neox:0", "attention:0", "bare:0"]
    assert [row["label"] for row in run.subjects] == ["attention:0", "neox:0", "bare:0"]
    assert run.table("failures").empty


def test_a_resumed_run_must_read_the_same_texts(data: Path, tmp_path: Path) -> None:
    grid = grid_file(tmp_path, losses={"none": {}})
    out = tmp_path / "run"
    assert run_lab(settings(grid, data, out, only=("attention:0",))) is None
    moved, other = tmp_path / "moved", tmp_path / "other"
    for folder, text in ((moved, prose()[:120_000]), (other, prose()[:110_000])):
        folder.mkdir()
        (folder / "prose.txt").write_text(text, encoding="utf-8")
    with pytest.raises(StoreConflict, match="data_sha256: was"):
        run_lab(settings(grid, other, out, resume=True))
    with pytest.raises(StoreConflict, match="data_sha256: was"):
        run_lab(settings(grid, other, out, only=("neox:0",)))
    assert run_lab(settings(grid, moved, out, only=("neox:0",))) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["lab", "nothing"], "nothing"),
        (["lab", "hybrids", "--only", "late-9:0", "--out", "x"], "late-9:0"),
        (["lab", "hybrids", "--only", "late-4:0"], "--out"),
        (["lab", "hybrids", "--data", "not-there"], "not-there"),
        (["lab", "hybrids", "--workers", "0"], "workers"),
    ],
)
def test_what_will_not_do_is_refused_in_a_line(
    given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert told in said[0]


def test_visits_begin_at_0_and_end_at_the_last() -> None:
    found = sorted(visited(1000, 9))
    assert (found[0], found[-1], len(found)) == (0, 1000, 9)
    assert found[1] - found[0] < found[-1] - found[-2]


def test_an_answer_is_right_when_all_its_tokens_are() -> None:
    labels = torch.tensor([[-100, 3, 4, -100, 5], [1, 2, -100, -100, 7]])
    said = torch.tensor([[0, 3, 4, 0, 6], [1, 9, 0, 0, 7]])
    logits = torch.nn.functional.one_hot(said, 10).float()
    assert answers_right(logits, labels) == (2, 4)
    assert answers_right(logits, torch.full_like(labels, -100)) == (0, 0)
