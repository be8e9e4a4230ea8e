"""The card beside a model's weights, and the flow of its training."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zoo_kit import NAME, STEPS, Quiet, at_step, data_folder, interrupt, make_small, zoo

from repflow.cli import main
from repflow.models import load
from repflow.store import open_run
from repflow.training import series as _series
from repflow.training import snapshots
from repflow.training.zoo import flow
from repflow.training.zoo.card import evaluate, told_reached
from repflow.training.zoo.folder import MARKER, Training


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        patch.setattr(flow, "EXAMPLES", 4)
        patch.setattr(flow, "CONTEXT", 32)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("zoo") / "data")


@pytest.fixture(scope="module")
def whole(small: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A training with its flow."""
    out = tmp_path_factory.mktemp("whole")
    assert zoo(data, out, flow=True) == 0
    return out


# The card.


def test_the_card_and_its_numbers_are_what_the_model_reaches(data: Path, whole: Path) -> None:
    model = Training(whole / NAME).model
    numbers, told = json.loads((model / "card.json").read_text()), (model / "README.md").read_text()
    reached = evaluate(load(str(model), device="cpu"), data, Quiet())
    assert told_reached(reached) in told
    assert numbers["subject"] == NAME
    assert numbers["parameters"] == reached.parameters
    assert reached.text is not None
    assert numbers["text"]["nats"] == reached.text.nats
    assert [found["right"] for found in numbers["retrieval"]] == [found.right for found in reached.retrieval]


def test_the_card_says_what_was_trained(whole: Path) -> None:
    told = (Training(whole / NAME).model / "README.md").read_text()
    marker = json.loads((whole / NAME / MARKER).read_text())
    assert told.startswith("---\nlicense: apache-2.0\n")
    assert "trained on contexts of up to 32 tokens." in told
    assert "\n- book.txt\n- mdqa.jsonl\n" in told
    assert "| 1 | 256 | 16 | 64 | 55% | 16 | gaps 1, object 2, prompt 1, prompt4 5, echo 0.5, documents 1.5 |" in told
    assert "| 2 | 256 | 32 | 64 | 55% | 16 | " in told
    last = " ".join(told.split())
    assert (
        f"512 tokens in 8 steps, learning rate 0.002, seed 0, loss of the last steps {marker['log'][-1]['loss']:.3f}."
        in last
    )


def test_the_cards_command_trains_the_same_model(whole: Path, data: Path, tmp_path: Path) -> None:
    told = (Training(whole / NAME).model / "README.md").read_text()
    (line,) = [line.strip() for line in told.splitlines() if line.startswith("    repflow train zoo")]
    command = shlex.split(line.replace("DATA", str(data)))[1:]
    assert main([*command, "--device", "cpu", "--no-flow", "--out", str(tmp_path)]) == 0
    for file in ("model.safetensors", "tokenizer.json", "card.json", "README.md"):
        again, first = (Training(out / NAME).model / file for out in (tmp_path, whole))
        assert again.read_bytes() == first.read_bytes()


def test_train_card_prints_the_numbers_again(data: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Training(whole / NAME).model
    assert main(["train", "card", str(model), "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{model}\n\n| held-out text |")
    assert printed.removeprefix(f"{model}\n\n").strip() in (model / "README.md").read_text()


# The flow.


def subject_steps(out: Path) -> dict[str, list[int]]:
    layers = open_run(out / "flow").layers
    return {str(name): sorted(rows["step"].unique().tolist()) for name, rows in layers.groupby("subject")}


def values(out: Path, step: int) -> Any:
    layers = open_run(out / "flow").layers
    return layers[layers["step"] == step]["value"].to_numpy()


def test_the_flow_is_of_every_snapshot_and_has_a_report(whole: Path) -> None:
    assert subject_steps(whole) == {f"zoo:{NAME}": [0, 1, 2, 4, STEPS]}
    assert "<html" in (whole / "flow" / "report.html").read_text()[:200]
    assert not np.allclose(values(whole, 0), values(whole, STEPS), equal_nan=True)


def test_training_anew_measures_the_flow_anew(data: Path, tmp_path: Path) -> None:
    """Same steps, other weights."""
    assert zoo(data, tmp_path, flow=True) == 0
    before = values(tmp_path, STEPS)
    assert zoo(data, tmp_path, "--overwrite", "--learning-rate", "1e-4", flow=True) == 0
    assert not np.allclose(values(tmp_path, STEPS), before, equal_nan=True)


def test_another_model_in_the_same_folder_gets_a_flow_of_its_own(data: Path, tmp_path: Path) -> None:
    assert zoo(data, tmp_path, flow=True) == 0
    assert zoo(data, tmp_path, names=["mamba-tiny"], flow=True) == 0
    assert subject_steps(tmp_path) == {"zoo:mamba-tiny": [0, 1, 2, 4, STEPS]}


def test_interrupted_while_the_flow_is_measured(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the folder of the training, not that of the flow."""
    measure = _series.measure_step

    def stopping(series: Any, reader: Any, facts: Any, readings: Any, settings: Any, step: int, *rest: Any) -> Any:
        if step == 2:
            raise KeyboardInterrupt
        return measure(series, reader, facts, readings, settings, step, *rest)

    monkeypatch.chdir(tmp_path)
    command = ["train", "zoo", NAME, "--data", str(data), "--tokens", "512", "--batch-tokens", "64", "--lengths", "16",
               "32", "--device", "cpu"]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "measure_step", stopping)
        assert main(command) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("--out runs/zoo --resume")
    assert main(shlex.split(line.removeprefix("resume with: "))[1:]) == 0
    out = tmp_path / "runs" / "zoo"
    assert subject_steps(out) == subject_steps(whole)
    np.testing.assert_array_equal(values(out, STEPS), values(whole, STEPS))


def test_without_all_models_done_no_flow_is_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_step(monkeypatch, 3, interrupt):
        assert zoo(data, tmp_path, flow=True) == 130
    assert not (tmp_path / "flow").exists()
