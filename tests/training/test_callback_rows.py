"""What the callback writes is what `repflow flow` writes of the same weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from callback_kit import (
    AS_FLOW,
    LAST,
    MEASURE,
    SEED,
    STEPS,
    TASK,
    At,
    flow_callback,
    fresh,
    same_rows,
    steps_of,
    subject,
    trainer,
)

import repflow
from repflow.models.facts import weights_sha256
from repflow.studies.kit.settings import MeasureSettings
from repflow.training import FlowCallback


@pytest.mark.parametrize("family", ["gpt_neo", "mamba"])
def test_every_step_is_the_flow_of_its_weights(family: str, tmp_path: Path) -> None:
    model, tokenizer = fresh(family), subject(family).tokenizer
    model.save_pretrained(tmp_path / "first")
    tokenizer.save_pretrained(tmp_path / "first")
    trainer(model, tmp_path, [flow_callback(tmp_path / "run")]).train()
    model.save_pretrained(tmp_path / "last")
    tokenizer.save_pretrained(tmp_path / "last")

    run = repflow.open(tmp_path / "run")
    assert steps_of(run) == STEPS
    first = repflow.flow(str(tmp_path / "first"), **AS_FLOW, out=tmp_path / "of-first")
    same_rows(run, first, step=0)
    drawn = repflow.flow(f"{tmp_path / 'last'}@init=config:{SEED}", **AS_FLOW, out=tmp_path / "of-drawn")
    same_rows(run, drawn, step=0)
    last = repflow.flow(str(tmp_path / "last"), **AS_FLOW, out=tmp_path / "of-last")
    same_rows(run, last, step=LAST)
    assert not run.layers["value"][run.layers["step"] == 0].equals(last.layers["value"]), "the training moves numbers"
    for table in ("layers", "paths"):
        at_first = (getattr(run, table)["step"] == 0).to_numpy()
        np.testing.assert_array_equal(run.replicates[table][at_first], first.replicates[table])


def test_the_run_says_what_was_measured(tmp_path: Path) -> None:
    model = fresh("gpt_neo")
    trainer(model, tmp_path, [flow_callback(tmp_path / "run", label="tiny")]).train()
    run = repflow.open(tmp_path / "run")
    (facts,) = run.subjects
    assert facts["label"] == "tiny"
    assert facts["family"] == "gpt_neo"
    assert facts["init"] == "trained"
    assert facts["steps"] == STEPS
    assert facts["weights_sha256"] == facts["weights_sha256_of_steps"][-1] == weights_sha256(model)
    assert len(set(facts["weights_sha256_of_steps"])) == len(STEPS)
    (task,) = run.info["tasks"]
    assert (task["name"], task["context"], task["n_examples"], task["subject"]) == ("text", 40, 5, "tiny")
    assert run.info["command"] == "train-flow"
    assert run.info["seed"] == 0
    assert run.info["versions"]["torch"]
    assert run.info["timings"]["tiny"]["forward_s"] > 0
    assert run.info["warnings"] == [
        "text at 40 tokens: 5 examples; fewer than 8 give no interval: raise --examples, or give more text or sources",
    ]
    assert run.settings["subjects"] == ["tiny"]
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert set(run.layers["subject"]) == set(run.paths["subject"]) == set(run.pairs["subject_b"]) == {"tiny"}


def test_several_tasks_and_contexts(tmp_path: Path) -> None:
    task = replace(TASK, task=("text", "kvpr"), context=(200, 260))
    callback = flow_callback(tmp_path / "run", task=task, steps=[0, 2])
    bench = trainer(fresh("gpt_neo"), tmp_path, [callback], max_steps=2)
    bench.train()
    run = repflow.open(tmp_path / "run")
    assert len(run.layers.groupby(["task", "context", "step"])) == 8
    assert "flow/kvpr-260/v_loc_rms" in bench.state.log_history[0]


def test_ready_examples_need_no_tokenizer(tmp_path: Path) -> None:
    examples = [[i + j for j in range(12)] for i in range(9)]
    callback = FlowCallback(tmp_path / "run", examples, MEASURE, steps=[0, 1])
    trainer(fresh("gpt_neo"), tmp_path, [callback], max_steps=1).train()
    run = repflow.open(tmp_path / "run")
    assert set(run.layers["task"]) == {"ready"}
    assert run.info["tasks"][0]["n_examples"] == 7, "the last two calibrate"
    assert "standardised" in set(run.layers["variant"])


def test_ready_examples_of_one_document_are_resampled_together(tmp_path: Path) -> None:
    """18 examples of 9 documents; the last two only calibrate."""
    examples = [[i + j for j in range(12)] for i in range(18)]
    callback = FlowCallback(tmp_path / "run", examples, MEASURE, steps=[0], units=[i // 2 for i in range(18)])
    trainer(fresh("gpt_neo"), tmp_path, [callback], max_steps=1).train()
    run = repflow.open(tmp_path / "run")
    assert run.info["tasks"][0]["n_examples"] == 16
    assert run.info["tasks"][0]["units"]["n_units"] == 8
    assert set(run.layers.query("metric == 'inter_token_cosine'")["n_units"]) == {8}


def test_only_the_metrics_that_were_asked_for(tmp_path: Path) -> None:
    measure = MeasureSettings(metrics=("inter_token_cosine",), calibration=0, replicates=40)
    callback = flow_callback(tmp_path / "run", measure=measure, every=4, keep_replicates=False)
    trainer(fresh("gpt_neo"), tmp_path, [callback]).train()
    run = repflow.open(tmp_path / "run")
    assert run.layers["step"].unique().tolist() == [0, 4, 8, LAST]
    assert set(run.layers["metric"]) == {"inter_token_cosine"}
    assert run.layers["ci_low"].isna().all(), "five examples give no interval"
    assert run.pairs.empty
    assert run.replicates == {}


def test_a_training_stopped_early_ends_with_its_last_step(tmp_path: Path) -> None:
    """Not with the best checkpoint, whose weights the model may hold at the very end."""
    weights = {}

    def end(model, control, **_) -> None:
        control.should_training_stop = True
        weights["last"] = weights_sha256(model)

    model = fresh("gpt_neo")
    options = {
        "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3, "learning_rate": 3.0,
        "load_best_model_at_end": True, "metric_for_best_model": "loss",
    }  # fmt: skip
    trainer(model, tmp_path / "t", [flow_callback(tmp_path / "run"), At([5], end)], **options).train()
    assert weights_sha256(model) != weights["last"], "the best one was taken"
    run = repflow.open(tmp_path / "run")
    assert steps_of(run) == [0, 1, 2, 4, 5]
    assert run.subjects[0]["weights_sha256"] == weights["last"]
