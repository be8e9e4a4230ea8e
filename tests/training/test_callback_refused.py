"""What cannot work is refused when training begins; what fails later does not end the training."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from callback_kit import MEASURE, TASK, At, Stop, flow_callback, fresh, steps_of, stop, subject, trainer
from transformers import TrainerCallback

import repflow
from repflow.core import BadFile, BadSetting, CallerError, ContextTooLong, ModelProblem, StoreConflict, UnknownName
from repflow.models import load
from repflow.store import parts as _parts
from repflow.store import writer as _writer
from repflow.studies.kit.settings import MeasureSettings, ModelSettings, TaskSettings
from repflow.training import FlowCallback


def refused(error: type[CallerError], words: str, folder: Path, callback: TrainerCallback, **options: Any) -> None:
    """The training does not begin, the error is one line, and no weight has moved."""
    model = options.pop("model", None) or fresh("gpt_neo")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    bench = trainer(model, folder / "t", [callback, At([1], stop)], **options)
    with pytest.raises(error, match=words) as caught:
        bench.train()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert bench.state.global_step == 0
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("error", "words", "changes"),
    [
        (BadSetting, r"every=2 and steps=\[1\] exclude each other", {"every": 2, "steps": [1]}),
        (BadSetting, "every must be a number of steps of 1 or more, got 0", {"every": 0}),
        (BadSetting, "steps must be one or more whole numbers", {"steps": [-1]}),
        (BadSetting, "steps must be one or more whole numbers", {"steps": []}),
        (BadSetting, 'sites="hf" is for figures of trained models', {"measure": MeasureSettings(sites="hf")}),
        (BadSetting, "ready examples must be one or more lists", {"task": [[1, 2, 3], []]}),
        (BadSetting, "units= holds 1 numbers for 2 ready examples", {"task": [[1, 2], [3, 4]], "units": [1]}),
        (BadSetting, "units= is for ready examples", {"units": [1]}),
        (UnknownName, "unknown task 'txt'; did you mean text", {"task": TaskSettings(task=("txt",))}),
    ],
)
def test_settings_are_refused_at_once(error: type[CallerError], words: str, changes: dict, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        flow_callback(tmp_path / "run", **changes)


def test_an_evaluation_set_beyond_the_positions(tmp_path: Path) -> None:
    long = TaskSettings(context=(4096,), examples=1)
    words = "run was trained on 2048 positions, the longest example has 4096 tokens; lower --context"
    refused(ContextTooLong, words, tmp_path, flow_callback(tmp_path / "run", task=long))
    assert not (tmp_path / "run").exists()


def test_token_ids_without_an_embedding(tmp_path: Path) -> None:
    callback = FlowCallback(tmp_path / "run", [[1, 2, 700]] * 4, MeasureSettings(calibration=0))
    refused(ModelProblem, "the token id 700, and the model has embeddings for 259 tokens", tmp_path, callback)


def test_no_tokenizer(tmp_path: Path) -> None:
    callback = flow_callback(tmp_path / "run", tokenizer=None)
    refused(BadSetting, "needs tokenizer=, or a Trainer with processing_class=", tmp_path, callback)
    bench = trainer(fresh("gpt_neo"), tmp_path / "t", [flow_callback(tmp_path / "run", tokenizer=None)], max_steps=1)
    bench.callback_handler.processing_class = SimpleNamespace(tokenizer=subject("gpt_neo").tokenizer)
    bench.train()
    assert steps_of(repflow.open(tmp_path / "run")) == [0, 1]


def test_steps_that_the_training_never_reaches(tmp_path: Path) -> None:
    words = r"the training ends at step 10, before the first of steps=\[50, 60\]"
    refused(BadSetting, words, tmp_path, flow_callback(tmp_path / "run", steps=[50, 60]))


def test_settings_of_loaded_models(tmp_path: Path) -> None:
    callback = flow_callback(tmp_path / "run", model=ModelSettings(dtype="bfloat16"))
    refused(BadSetting, "dtype is for models that are loaded", tmp_path, callback)


def test_a_model_that_changes_its_weights_for_evaluation(tmp_path: Path) -> None:
    model = load("config:rwkv,layers=2,width=32").model.requires_grad_(True).train()
    callback = flow_callback(tmp_path / "run")
    refused(ModelProblem, "rwkv changes its own weights.*measure_snapshots", tmp_path, callback, model=model)


def test_a_sharded_model(tmp_path: Path) -> None:
    arguments, state = SimpleNamespace(fsdp="full_shard", deepspeed=None), SimpleNamespace(is_world_process_zero=True)
    with pytest.raises(CallerError, match="sharded over processes"):
        flow_callback(tmp_path / "run").on_train_begin(arguments, state, None, model=fresh("gpt_neo"))


def test_other_processes_do_nothing(tmp_path: Path) -> None:
    callback = flow_callback(tmp_path / "run")
    state = SimpleNamespace(is_world_process_zero=False, global_step=1)
    callback.on_train_begin(SimpleNamespace(fsdp=None, deepspeed=None), state, None)
    callback.on_step_end(None, state, None)
    callback.on_train_end(None, state, None)
    assert not (tmp_path / "run").exists()


def test_a_directory_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(StoreConflict, "is a file, needed a directory", tmp_path, flow_callback(tmp_path / "file"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    callback = flow_callback(tmp_path / "full", overwrite=True)
    refused(StoreConflict, r"holds other files \(thesis.tex\) and no run", tmp_path, callback)
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"
    repflow.flow("config:pythia,layers=2,width=32", context=40, examples=2, out=tmp_path / "flow")
    refused(StoreConflict, "holds a 'flow' run", tmp_path, flow_callback(tmp_path / "flow"))


def test_an_unfinished_run_of_other_settings(tmp_path: Path) -> None:
    bench = trainer(fresh("gpt_neo"), tmp_path / "t", [flow_callback(tmp_path / "run"), At([1], stop)])
    with pytest.raises(Stop):
        bench.train()
    callback = flow_callback(tmp_path / "run", every=5)
    refused(StoreConflict, "begun with other settings: every: was null, now 5", tmp_path, callback)


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_writer, "write_bytes_atomic", full_disk)
    refused(BadFile, "the disk is full; free some space", tmp_path, flow_callback(tmp_path / "run"))


def test_a_full_disk_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits before and after is kept, and the run says what is missing."""
    write = _parts.write_bytes_atomic
    fill = At([3], lambda **_: monkeypatch.setattr(_parts, "write_bytes_atomic", full_disk))
    free = At([7], lambda **_: monkeypatch.setattr(_parts, "write_bytes_atomic", write))
    bench = trainer(fresh("gpt_neo"), tmp_path / "t", [flow_callback(tmp_path / "run"), fill, free])
    with pytest.warns(UserWarning, match="run could not be measured at step 4, training goes on: .*the disk is full"):
        bench.train()
    run = repflow.open(tmp_path / "run")
    assert steps_of(run) == [0, 1, 2, 8, 10]
    assert any(line.startswith("run, step 4: not measured, cannot write") for line in run.info["warnings"])


def test_a_disk_that_stays_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training ends well; its run can be finished by resuming it."""
    with monkeypatch.context() as patch:
        fill = At([9], lambda **_: patch.setattr(_writer, "write_bytes_atomic", full_disk))
        saving = {"save_strategy": "steps", "save_steps": 10}
        bench = trainer(fresh("gpt_neo"), tmp_path / "t", [flow_callback(tmp_path / "run"), fill], **saving)
        unmeasured, unfinished = "run could not be measured at step 10", "is not finished: .*the disk is full"
        with pytest.warns(UserWarning, match=unfinished), pytest.warns(UserWarning, match=unmeasured):
            bench.train()
    assert bench.state.global_step == 10
    bench = trainer(fresh("gpt_neo"), tmp_path / "t", [flow_callback(tmp_path / "run")], **saving)
    bench.train(resume_from_checkpoint=str(tmp_path / "t" / "checkpoint-10"))
    assert steps_of(repflow.open(tmp_path / "run")) == [0, 1, 2, 4, 8, 10]


def test_states_that_are_not_finite(tmp_path: Path) -> None:
    def poison(model: Any, **_: Any) -> None:
        with torch.no_grad():
            model.transformer.h[1].mlp.c_fc.weight.fill_(torch.nan)

    bench = trainer(fresh("gpt_neo"), tmp_path / "t", [At([3], poison), flow_callback(tmp_path / "run")])
    with pytest.warns(UserWarning, match="step 4, training goes on: run: non-finite states in 2 of 7") as told:
        bench.train()
    assert len(told) == 1, "it warns once"
    assert bench.state.global_step == 10
    run = repflow.open(tmp_path / "run")
    assert steps_of(run) == [0, 1, 2]
    assert [line.partition(":")[0] for line in run.info["warnings"][-3:]] == [f"run, step {s}" for s in (4, 8, 10)]
    assert run.subjects[0]["steps"] == [0, 1, 2]


def test_a_step_at_which_some_examples_are_not_finite(tmp_path: Path) -> None:
    """One example of 120 is less than 1%: it is left out, and the run says at which step."""

    def poison(model: Any, **_: Any) -> None:
        with torch.no_grad():
            model.get_input_embeddings().weight[255] = torch.nan

    examples = [[255, 1, 2, 3]] + [[i, 1, 2, 3] for i in range(1, 120)]
    measure = MeasureSettings(metrics=("norm",), calibration=0, replicates=40)
    callback = FlowCallback(tmp_path / "run", examples, measure, steps=[0, 1])
    trainer(fresh("gpt_neo"), tmp_path / "t", [At([1], poison), callback], max_steps=1).train()
    run = repflow.open(tmp_path / "run")
    told = "run, ready at 4 tokens: example 0 left out, non-finite at embed (at step 1)"
    assert run.info["warnings"] == [told]
    assert run.layers.groupby("step")["n_examples"].max().tolist() == [120, 119]


def test_ctrl_c_while_measuring_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from repflow.training import series as _series

    measure = _series.measure

    def interrupted(*arguments: Any) -> Any:
        if arguments[-1] == 4:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(_series, "measure", interrupted)
    model = fresh("gpt_neo")
    bench = trainer(model, tmp_path / "t", [flow_callback(tmp_path / "run")])
    with pytest.raises(KeyboardInterrupt):
        bench.train()
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for name, module in model.named_modules() if name)
    # The same process can begin again: nobody holds the directory.
    monkeypatch.setattr(_series, "measure", measure)
    trainer(fresh("gpt_neo"), tmp_path / "t", [flow_callback(tmp_path / "run")]).train()
    assert steps_of(repflow.open(tmp_path / "run")) == [0, 1, 2, 4, 8, 10]


def test_the_label_is_the_directory_or_the_given_one() -> None:
    assert FlowCallback("runs/one", TASK, MEASURE)._label == "one"
    assert FlowCallback("runs/one", TASK, MEASURE, label="two")._label == "two"
    assert FlowCallback(".")._label
