"""A whole training: what it leaves, and that one which was stopped, however, ends with the same weights."""

import json
import resource
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from zoo_kit import (
    NAME,
    SSM_NAME,
    STEPS,
    Quiet,
    at_step,
    data_folder,
    interrupt,
    make_small,
    said,
    same_files,
    small_pythia,
    weights,
    zoo,
)

from repflow.cli import main
from repflow.models import load
from repflow.models.initialise import random_model
from repflow.training.zoo import card, run, trainer
from repflow.training.zoo.folder import MARKER, Training
from repflow.training.zoo.recipes import Recipe

NAMES = (NAME, SSM_NAME)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("zoo") / "data")


@pytest.fixture(scope="module")
def whole(small: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """Two models that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert zoo(data, out, names=NAMES) == 0
    return out


def marker(out: Path, name: str = NAME) -> dict[str, Any]:
    return json.loads((out / name / MARKER).read_text())


def checkpoints(out: Path, name: str = NAME) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in (out / name / "checkpoints").iterdir())


def same_training(out: Path, whole: Path, name: str = NAME) -> None:
    """The weights and all snapshots are those of the training that nobody disturbed, bit for bit; so is the card."""
    assert Training(out / name).steps().keys() == {0, 1, 2, 4, 8}
    for part in ("model", "snapshots"):
        same_files(out / name / part, whole / name / part)
    for file in ("tokenizer.json", "card.json", "config.json"):
        assert (out / name / "model" / file).read_bytes() == (whole / name / "model" / file).read_bytes()
    assert marker(out, name)["status"] == "finished"


@pytest.fixture
def stopped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that ended after 5 of 8 steps; its checkpoints are 4 and 5."""
    with at_step(monkeypatch, 6, interrupt):
        assert zoo(data, tmp_path / "out") == 130
    assert checkpoints(tmp_path / "out") == [4, 5]
    return tmp_path / "out"


# What a training leaves.


def test_the_models_load_and_are_those_of_the_last_step(whole: Path) -> None:
    for name, family in zip(NAMES, ("gpt_neox", "mamba"), strict=True):
        training = Training(whole / name)
        assert load(str(training.model)).facts.family == family
        last = weights(training.steps()[STEPS])
        final = weights(training.model)
        assert all(torch.equal(final[key], last[key].bfloat16()) for key in last)
        assert final.keys() == last.keys()


def test_the_first_snapshot_is_the_random_model_of_the_seed(data: Path, whole: Path, tmp_path: Path) -> None:
    with_seed = tmp_path / "seeded"
    assert zoo(data, with_seed, "--seed", 7) == 0
    for out, seed in ((whole, 0), (with_seed, 7)):
        held = weights(Training(out / NAME).steps()[0])
        fresh = dict(random_model(small_pythia(), seed).named_parameters())
        assert held
        assert all(torch.equal(tensor, fresh[name]) for name, tensor in held.items())


def test_the_marker_says_what_was_trained_on_what(whole: Path) -> None:
    known = marker(whole)
    assert (known["model"], known["status"], known["steps"]) == (NAME, "finished", STEPS)
    assert known["settings"] == {
        "tokens": 512, "batch_tokens": 64, "micro_tokens": 0, "lengths": [16, 32], "learning_rate": 2e-3, "seed": 0
    }  # fmt: skip
    assert known["files"] == ["book.txt", "mdqa.jsonl"]
    assert known["config"]["hidden_size"] == 16
    assert [entry["step"] for entry in known["log"]] == list(range(1, STEPS + 1))
    assert known["versions"]["torch"] == torch.__version__


def test_mambapy_scans_while_training_and_no_longer(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mambapy")
    models: list[Any] = []
    during: set[bool] = set()

    def watched(config: Any, seed: int) -> Any:
        models.append(random_model(config, seed))
        return models[-1]

    def switched() -> list[bool]:
        return [block.mixer.use_mambapy for block in models[0].backbone.layers]

    monkeypatch.setattr(run, "first_weights", watched)
    with at_step(monkeypatch, 2, lambda loss: during.update(switched()) or loss):
        assert zoo(data, tmp_path, names=[SSM_NAME]) == 0
    assert during == {True}
    assert switched() == [False, False]
    with at_step(monkeypatch, 3, interrupt):
        models.clear()
        assert zoo(data, tmp_path / "again", names=[SSM_NAME]) == 130
    assert switched() == [False, False]


def test_a_trained_model_is_not_trained_again(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole / NAME, tmp_path / NAME)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(run, "train", None)
    assert zoo(data, tmp_path, "--resume") == 0
    assert f"{NAME} is trained already, in {tmp_path / NAME / 'model'}" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# Stopped and resumed.


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("name", NAMES)
def test_stopped_by_its_time_and_resumed(
    name: str, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    clock = Clock()
    with monkeypatch.context() as patch:
        for module in (run, trainer):
            patch.setattr(module, "time", clock)
        assert zoo(data, tmp_path, "--minutes", 4.5 / 60, names=[name]) == 0
    found = capsys.readouterr()
    assert f"{name}: time is up at step 4 of 8; go on with --resume" in found.err
    assert found.out == ""
    assert not (tmp_path / name / "model").exists()
    assert zoo(data, tmp_path, "--resume", names=[name]) == 0
    assert capsys.readouterr().out == f"{tmp_path / name / 'model'}\n"
    same_training(tmp_path, whole, name)


def test_ctrl_c_leaves_a_line_that_finishes_the_training(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "an out"
    with at_step(monkeypatch, 6, interrupt):
        assert zoo(data, out, names=[NAME, SSM_NAME]) == 130
    *_, what, line = capsys.readouterr().err.splitlines()
    assert what == f"repflow: interrupted; the checkpoints stay in {out / NAME}"
    assert line.startswith("resume with: repflow train zoo ")
    assert main(shlex.split(line.removeprefix("resume with: "))[1:]) == 0
    for name in (NAME, SSM_NAME):
        same_training(out, whole, name)


def test_sigterm_is_like_ctrl_c(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_step(monkeypatch, 4, lambda loss: signal.raise_signal(signal.SIGTERM) or loss):
        assert zoo(data, tmp_path) == 130
    assert "resume with: repflow train zoo" in capsys.readouterr().err
    assert checkpoints(tmp_path) == [2, 3]


def test_the_line_names_the_folder_that_was_not_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with at_step(monkeypatch, 2, interrupt):
        assert main(["train", "zoo", NAME, "--data", str(data), "--tokens", "128", "--batch-tokens", "64",
                     "--lengths", "16", "--overwrite", "--no-flow"]) == 130  # fmt: skip
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("--no-flow --out runs/zoo --resume")
    assert main(shlex.split(line.removeprefix("resume with: "))[1:]) == 0
    assert marker(tmp_path / "runs" / "zoo")["steps"] == 2


def cut_weights(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def half_state(checkpoint: Path) -> None:
    file = checkpoint / "trainer_state.json"
    file.write_text(file.read_text()[:200])


SPOILED: list[Callable[[Path], object]] = [
    cut_weights,
    half_state,
    lambda checkpoint: (checkpoint / "trainer_state.json").unlink(),
    lambda checkpoint: (checkpoint / "model.safetensors").unlink(),
    lambda checkpoint: (checkpoint / "model.safetensors").write_bytes(b""),
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_checkpoint_cut_short_is_passed_over(
    spoil: Callable[[Path], object], data: Path, whole: Path, stopped: Path
) -> None:
    spoil(stopped / NAME / "checkpoints" / "checkpoint-5")
    found = Training(stopped / NAME).newest_checkpoint()
    assert found is not None
    assert found.name == "checkpoint-4"
    assert checkpoints(stopped) == [4]
    if spoil is cut_weights:
        assert zoo(data, stopped, "--resume") == 0
        same_training(stopped, whole)


def test_without_a_whole_checkpoint_it_begins_anew(data: Path, whole: Path, stopped: Path) -> None:
    for step in (4, 5):
        cut_weights(stopped / NAME / "checkpoints" / f"checkpoint-{step}")
    assert zoo(data, stopped, "--resume") == 0
    same_training(stopped, whole)


def test_checkpoints_are_ordered_by_number(tmp_path: Path) -> None:
    for step in (900, 1000):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({"a": torch.zeros(3)}, folder / "model.safetensors")
        (folder / "trainer_state.json").write_text("{}")
    found = Training(tmp_path).newest_checkpoint()
    assert found is not None
    assert found.name == "checkpoint-1000"


def test_interrupted_when_all_steps_are_done_but_nothing_is_said_yet(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = Training.mark

    def interrupted(training: Training, facts: dict[str, Any], status: str, **more: Any) -> None:
        if status == "finished":
            raise KeyboardInterrupt
        mark(training, facts, status, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "mark", interrupted)
        assert zoo(data, tmp_path) == 130
    assert zoo(data, tmp_path, "--resume") == 0
    same_training(tmp_path, whole)
    assert [entry["step"] for entry in marker(tmp_path)["log"]] == list(range(1, STEPS + 1))


def test_interrupted_in_the_evaluation_only_the_card_is_made(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(card, "evaluate", interrupted)
        assert zoo(data, tmp_path) == 130
    assert not (tmp_path / NAME / "model" / "card.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", None)
        assert zoo(data, tmp_path, "--resume") == 0
    same_training(tmp_path, whole)


# What goes wrong.


def test_a_loss_that_is_not_a_number_stops_the_training(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_step(monkeypatch, 5, lambda loss: loss * torch.nan):
        assert zoo(data, tmp_path) == 1
    assert "is not finite at step 5;" in said(capsys)
    assert checkpoints(tmp_path) == [3, 4]
    kept, good = weights(tmp_path / NAME / "checkpoints" / "checkpoint-4"), weights(Training(whole / NAME).steps()[4])
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    assert all(torch.equal(kept[name], good[name]) for name in good)
    assert zoo(data, tmp_path, "--resume") == 0, "what spoiled it is gone"
    same_training(tmp_path, whole)


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Sets how long a file may become, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("size", "left"), [(50_000, []), (400_000, ["model.safetensors"])])
def test_a_disk_that_fills_up_keeps_what_was_saved(
    size: int, left: list[str], data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], limit: Callable[[int], None],
) -> None:  # fmt: skip
    """Full within the weights, or (they take 265 kB) only within what the optimiser remembers."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    with at_step(monkeypatch, 6, lambda loss: limit(size) or loss):
        code = zoo(data, tmp_path)
    limit(unlimited)
    assert code == 2
    line = said(capsys)
    assert line.startswith(f"repflow: cannot save below {tmp_path / NAME}: ")
    assert line.endswith("; what was saved before stays, free some space and use --resume")
    found = tmp_path / NAME / "checkpoints" / "checkpoint-6"
    assert [path.name for path in found.glob("*.safetensors")] == left
    kept = Training(tmp_path / NAME).newest_checkpoint()
    assert kept is not None
    assert kept.name == "checkpoint-5"
    assert zoo(data, tmp_path, "--resume") == 0
    same_training(tmp_path, whole)


def test_a_disk_that_is_full_from_the_start(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: Callable[[int], None]
) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limit(50_000)
    code = zoo(data, tmp_path)
    limit(unlimited)
    assert code == 2
    assert "cannot save below" in said(capsys)


def test_an_error_of_the_program_is_not_taken_for_a_full_disk(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    with at_step(monkeypatch, 2, broken), pytest.raises(RuntimeError, match="shapes do not fit"):
        zoo(data, tmp_path)


# Another training in the folder.


def refused(out: Path, capsys: pytest.CaptureFixture[str], code: int) -> str:
    assert code == 2
    line = said(capsys)
    assert str(out / NAME) in line
    return line


def test_another_training_is_refused_with_both_values(
    data: Path, stopped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    for more, told in {
        ("--learning-rate", "1e-3"): "its settings learning_rate is 0.002, asked for is 0.001",
        ("--seed", "1"): "its settings seed is 0, asked for is 1",
        ("--micro-tokens", "32"): "its settings micro_tokens is 0, asked for is 32",
    }.items():
        line = refused(stopped, capsys, zoo(data, stopped, *more, "--resume"))
        assert f"holds another training: {told}; choose another --out, or --overwrite" in line
    config = small_pythia()
    config.intermediate_size = 48
    with monkeypatch.context() as patch:
        patch.setattr(run, "recipe", lambda name: Recipe(name, "a wider one", lambda: config))
        line = refused(stopped, capsys, zoo(data, stopped, "--resume"))
    assert "its config intermediate_size is 32, asked for is 48" in line
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_another_corpus_is_refused(stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = data_folder(tmp_path / "other", characters=11_000)
    line = refused(stopped, capsys, zoo(other, stopped, "--resume"))
    known = marker(stopped)["corpus"]
    assert f"its corpus is '{known}', asked for is '" in line
    assert line.count(known) == 1


def test_the_same_training_needs_to_be_told_what_to_do(
    data: Path, whole: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(stopped, capsys, zoo(data, stopped))
    assert line.endswith("holds this training; go on with --resume, or --overwrite it")
    assert zoo(data, stopped, "--overwrite") == 0
    same_training(stopped, whole)


def test_overwrite_takes_the_place_of_another_training(data: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / NAME, tmp_path / NAME)
    assert zoo(data, tmp_path, "--overwrite", "--learning-rate", "1e-3") == 0
    assert marker(tmp_path)["settings"]["learning_rate"] == 1e-3
    mine, other = (weights(Training(out / NAME).steps()[STEPS]) for out in (tmp_path, whole))
    assert not any(torch.equal(mine[name], other[name]) for name in mine)


@pytest.mark.parametrize("more", [(), ("--resume",), ("--overwrite",)])
def test_what_is_no_training_is_left_alone(
    more: tuple[str, ...], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "thesis.txt").write_text("years of work")
    line = refused(tmp_path, capsys, zoo(data, tmp_path, *more))
    assert line.endswith("holds something else than a training; choose another --out")
    assert (tmp_path / NAME / "thesis.txt").read_text() == "years of work"


def test_a_broken_marker_is_said(data: Path, stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stopped / NAME / MARKER).write_text("{")
    line = refused(stopped, capsys, zoo(data, stopped, "--resume"))
    assert "cannot read" in line
    assert line.endswith("train anew with --overwrite")
    assert zoo(data, stopped, "--overwrite") == 0


# The parts, used from Python.


def test_training_from_python_gives_the_folders_of_those_that_are_done(data: Path, tmp_path: Path) -> None:
    from repflow.training.zoo.settings import LearningSettings, PlaceSettings, ZooSettings

    learning = LearningSettings(tokens=128, batch_tokens=64, lengths=(16,))
    place = PlaceSettings(data=data, out=tmp_path, device="cpu")
    progress = Quiet()
    done = run.train_zoo(ZooSettings((SSM_NAME, NAME), learning, place), progress)
    assert done == [Training(tmp_path / SSM_NAME), Training(tmp_path / NAME)]
    assert not any("already" in note for note in progress.notes)
