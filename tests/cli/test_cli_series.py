"""`repflow flow DIR/checkpoint-* --series`: checkpoints as steps, in the run and in all that reads it."""

import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_tools import QUICK, only_line
from tiny_models import saved

from repflow.cli import main
from repflow.store import open_run
from repflow.training import series

STEPS = (5, 10, 100)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """As a shell sorts them: 10, 100, 5."""
    home = tmp_path_factory.mktemp("series") / "mine"
    return sorted(saved(home / f"checkpoint-{step}", "gpt2", seed=step) for step in STEPS)


@pytest.fixture(scope="module")
def run(checkpoints: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "series"
    assert main(["flow", *checkpoints, "--series", *QUICK, "--out", str(out)]) == 0
    return out


def test_its_rows_are_those_of_each_checkpoint_by_step(run: Path, checkpoints: list[str], tmp_path: Path) -> None:
    whole = open_run(run)
    assert whole.layers["step"].unique().tolist() == list(STEPS)
    (facts,) = whole.subjects
    assert facts["label"] == "mine"
    assert facts["steps"] == list(STEPS)
    last = next(path for path in checkpoints if path.endswith("-100"))
    assert main(["flow", last, *QUICK, "--out", str(tmp_path / "one")]) == 0
    one, mine = open_run(tmp_path / "one").layers, whole.layers[whole.layers["step"] == 100].reset_index(drop=True)
    columns = [name for name in one if name not in ("subject", "step")]
    pd.testing.assert_frame_equal(mine[columns], one[columns], check_exact=True)


def test_show_the_page_and_the_figures_draw_it_over_steps(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run)]) == 0
    said = capsys.readouterr().out
    assert "During training: inter-token cosine on text, 48 tokens" in said
    assert "5-100" in said
    assert "At the end of training, step 100" in said
    assert main(["report", str(run), "--figures", "--only", "thirds", "--formats", "png"]) == 0
    assert "During training" in (run / "report.html").read_text(encoding="utf-8")
    assert any("thirds" in path.name for path in (run / "figures").glob("*.png"))


def test_a_directory_in_use_is_left_alone_and_a_finished_run_returned(
    run: Path, checkpoints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["flow", *checkpoints, "--series", *QUICK, "--out", str(run)]
    before = (run / "layers.parquet").stat().st_mtime_ns
    capsys.readouterr()
    assert main(command) == 2
    assert "go on with --resume" in only_line(capsys)
    assert main([*command, "--resume"]) == 0
    assert (run / "layers.parquet").stat().st_mtime_ns == before


def test_an_interrupted_one_goes_on_by_the_printed_line(
    run: Path,
    checkpoints: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure, seen = series.measure, []

    def stopping(*arguments: Any) -> Any:
        seen.append(arguments[-1])
        if len(seen) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(series, "measure", stopping)
    out = tmp_path / "run"
    assert main(["flow", *checkpoints, "--series", *QUICK, "--out", str(out)]) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert main(shlex.split(line.removeprefix("resume with: "))[1:]) == 0
    assert seen == [5, 10, 10, 100]
    pd.testing.assert_frame_equal(open_run(out).layers, open_run(run).layers)


def test_what_is_no_series_is_refused_before_anything_is_written(
    checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for subjects, options, words in (
        (["zoo:mamba-tiny"], [], "has no step"),
        (checkpoints, ["--shard", "2"], "--shard is for models as they stand"),
        (checkpoints, ["--resume", "--overwrite"], "contradict each other"),
    ):
        assert main(["flow", *subjects, "--series", *QUICK, *options, "--out", str(out)]) == 2
        assert words in only_line(capsys)
        assert not out.exists()


def test_a_settings_file_may_say_so(checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text("series: true\nsubjects: [zoo:mamba-tiny]\n")
    assert main(["flow", "--config", str(tmp_path / "run.yaml")]) == 2
    assert "has no step" in only_line(capsys)
    (tmp_path / "run.yaml").write_text("series: true\n")
    assert main(["probe", *checkpoints, "--config", str(tmp_path / "run.yaml")]) == 2
    assert "series" in only_line(capsys)
