"""Checkpoints by their steps: found, sorted, and refused where they are not of one training."""

import json
from pathlib import Path

import pytest
from tiny_models import saved

from repflow.core import BadFile, BadSetting
from repflow.models import SubjectSpec
from repflow.training.checkpoints import _step, steps_of_training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mine/checkpoints/{checkpoint-100, step_20, last} of one model, last with a trainer_state.json of step 300."""
    home = tmp_path_factory.mktemp("trainings") / "mine" / "checkpoints"
    for name in ("checkpoint-100", "step_20", "last", "nameless"):
        saved(home / name, "gpt2")
    (home / "last" / "trainer_state.json").write_text(json.dumps({"global_step": 300}))
    return home


def test_they_are_sorted_by_step_and_named_for_their_training(folder: Path) -> None:
    names = ["last", "checkpoint-100", "step_20"]
    found = steps_of_training([folder / name for name in names])
    assert list(found) == ["mine"]
    assert list(found["mine"].items()) == [
        (20, str(folder / "step_20")), (100, str(folder / "checkpoint-100")), (300, str(folder / "last"))
    ]  # fmt: skip


def test_a_folder_without_a_step_is_refused(folder: Path) -> None:
    with pytest.raises(BadSetting, match="nameless has no step, neither in its name"):
        steps_of_training([folder / "step_20", folder / "nameless"])
    with pytest.raises(BadSetting, match="zoo:mamba-tiny has no step"):
        steps_of_training(["zoo:mamba-tiny"])
    with pytest.raises(BadFile, match="no such model directory"):
        steps_of_training([folder / "checkpoint-7"])


def test_two_of_the_same_step_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "step_100").symlink_to(folder / "checkpoint-100")
    with pytest.raises(BadSetting, match="are both of step 100"):
        steps_of_training([folder / "checkpoint-100", tmp_path / "step_100"])


def test_two_trainings_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "step_7").symlink_to(folder / "checkpoint-100")
    with pytest.raises(BadSetting, match="lie in different folders"):
        steps_of_training([folder / "step_20", tmp_path / "step_7"])
    saved(tmp_path / "step_8", "gpt2", num_hidden_layers=3)
    with pytest.raises(BadSetting, match="are different models: n_layer is 2 and 3"):
        steps_of_training([tmp_path / "step_7", tmp_path / "step_8"])
    saved(tmp_path / "step_9", "gpt_neox")
    with pytest.raises(BadSetting, match="different models: model_type is 'gpt2' and 'gpt_neox'"):
        steps_of_training([tmp_path / "step_7", tmp_path / "step_9"])


def test_drawn_or_changed_weights_have_no_step(folder: Path) -> None:
    with pytest.raises(BadSetting, match="without @init and @ablate"):
        steps_of_training([f"{folder / 'step_20'}@init=normal:0"])


def test_a_revision_names_the_step_of_a_hub_model() -> None:
    assert _step(SubjectSpec.parse("EleutherAI/pythia-70m@revision=step1000")) == 1000
