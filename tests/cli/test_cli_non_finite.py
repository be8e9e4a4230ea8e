"""A model that makes NaN: all of it stops the run, a rare token only the examples that hold it (METHODS 12)."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from cli_tools import QUICK, Refusal, model_folder

import repflow
from repflow.cli import main
from repflow.models import load
from repflow.studies.flow.measure import advice
from repflow.tasks import TextTask

COMMON, RARE = ord("e"), ord("~")
LENGTH = 16


@pytest.mark.parametrize("calibration", ["0", "4"])
def test_a_spoiled_model_stops_the_run(refused: Refusal, tmp_path: Path, calibration: str) -> None:
    folder = model_folder(tmp_path / "model", spoiled=COMMON)
    quick = [flag for flag in QUICK if flag not in ("--calibration", "2")]
    line = refused(*quick, "--calibration", calibration, subjects=(folder,))
    assert str(folder) in line
    assert "non-finite states" in line
    assert "of " in line
    assert "at embed" in line
    assert "first in example " in line
    assert line.endswith("at embed; check the weights")


@pytest.mark.parametrize("command", ["flow", "attribute", "dynamics", "ablate"])
def test_an_intervention_that_breaks_the_model_is_named_as_the_cause(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    subject = "config:gpt_neox,layers=2,width=32@ablate=residual_scaled:1e38"
    quick = ["--context", "16", "--examples", "2", "--out", str(tmp_path / "run")]
    assert main([command, subject, *quick]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.endswith("at block.0; the change is too much for the model; make it milder, or in fewer blocks")


def test_half_precision_is_advised_against_where_it_is_used() -> None:
    facts = load("config:gpt_neox,layers=2,width=32").facts
    assert advice(facts) == "check the weights"
    assert advice(replace(facts, dtype="float16")) == "try --dtype float32, or check the weights"


def book(folder: Path, model: str, pieces: int, spoiled: int) -> Path:
    """`pieces` examples of LENGTH bytes, the one that is drawn as number `spoiled` with the rare token in it."""
    letters = "abcdefghijklmnopqrstuvwxyz "
    texts = ["".join(letters[(7 * i + k * k) % len(letters)] for k in range(LENGTH - 3)) for i in range(pieces)]
    file = folder / "book.txt"
    file.write_text("".join(f"{i:03d}{text}" for i, text in enumerate(texts)), encoding="utf-8")
    drawn = TextTask((str(file),)).build(load(model).tokenizer, n=pieces, context=LENGTH, seed=0)[spoiled].prompt
    file.write_text(file.read_text().replace(drawn, drawn[:5] + chr(RARE) + drawn[6:]), encoding="utf-8")
    return file


def test_a_rare_spoiled_token_costs_its_example_only(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "model", spoiled=RARE))
    file = book(tmp_path, folder, 110, spoiled=109)
    options = {"text": file, "context": LENGTH, "calibration": 0, "replicates": 40, "shard": 16}
    run = repflow.flow(folder, examples=110, out=tmp_path / "run", **options)
    without = repflow.flow(folder, examples=109, out=tmp_path / "without", **options)
    assert f"{folder}, text at 16 tokens: example 109 left out, non-finite at embed" in run.info["warnings"]
    for table in ("layers", "pairs", "paths"):
        pd.testing.assert_frame_equal(getattr(run, table), getattr(without, table), rtol=0, atol=1e-6)
    assert set(run.layers["n_examples"]) == {109}


def test_a_rare_spoiled_token_among_the_calibration_examples(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "model", spoiled=RARE))
    options = {"context": LENGTH, "examples": 106, "replicates": 40, "metrics": "adjacent_cosine"}
    file = book(tmp_path, folder, 110, spoiled=109)
    run = repflow.flow(folder, text=file, calibration=4, out=tmp_path / "run", **options)
    without = repflow.flow(folder, text=file, calibration=3, out=tmp_path / "without", **options)
    assert (
        f"{folder}, text at 16 tokens: calibration example 109 left out, its states are not finite"
        in (run.info["warnings"])
    )
    pd.testing.assert_frame_equal(run.layers, without.layers, rtol=0, atol=1e-6)
    assert "standardised" in set(run.layers["variant"])


def test_more_than_one_in_a_hundred_stops_the_run_late_and_keeps_no_such_shard(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "model", spoiled=RARE))
    file = book(tmp_path, folder, 40, spoiled=30)
    options = {"text": file, "context": LENGTH, "examples": 40, "calibration": 0, "shard": 8, "out": tmp_path / "run"}
    with pytest.raises(repflow.RepflowError, match=r"1 of 40 examples, first in example 30 at embed"):
        repflow.flow(folder, **options)
    assert len(list((tmp_path / "run" / "checkpoint").glob("*.part"))) == 3
    with pytest.raises(repflow.RepflowError, match="unfinished"):
        repflow.open(tmp_path / "run")
