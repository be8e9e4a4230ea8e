"""The examples that a flow run keeps token by token."""

from pathlib import Path

import numpy as np
import pytest
import torch
from page_kit import views

import repflow
from repflow.models import load
from repflow.studies.flow.rows import TokenRow
from repflow.studies.flow.tokens import EXAMPLES, TOKENS

TINY = ("config:gpt_neox,layers=2,width=32", "config:mamba,layers=2,width=32")
QUICK = {"examples": 9, "calibration": 0, "permutations": 0, "replicates": 40, "metrics": ["norm"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> repflow.Run:
    return repflow.flow(TINY, context=300, out=tmp_path_factory.mktemp("flow") / "run", **QUICK)


def test_the_beginnings_of_the_first_examples_are_kept_at_every_site(run: repflow.Run) -> None:
    rows = run.table("tokens", TokenRow)
    assert rows.groupby(["subject", "example"]).size().eq(TOKENS * 4).all()
    assert rows.groupby("subject")["example"].nunique().eq(EXAMPLES).all()
    assert set(rows["site"]) == {"embed", "block.0", "block.1", "final_norm"}


def test_norm_and_likeness_are_those_of_the_states(run: repflow.Run) -> None:
    rows = run.table("tokens", TokenRow)
    subject = load(TINY[0])
    mine = rows[(rows["subject"] == TINY[0]) & (rows["example"] == 0) & (rows["site"] == "final_norm")]
    ids = [subject.tokenizer.encode(text, add_special_tokens=False) for text in mine["text"]]
    assert all(len(each) == 1 for each in ids[:20]), "texts are of single tokens"
    with torch.inference_mode():
        states = subject.model(torch.tensor([[each[0] for each in ids]]), output_hidden_states=True).hidden_states[-1][
            0
        ]
    units = torch.nn.functional.normalize(states.double(), dim=-1).numpy()
    mean = units.mean(0)
    wanted = units @ mean / np.linalg.norm(mean)
    np.testing.assert_allclose(mine["norm"], states.norm(dim=-1), rtol=2e-3)
    np.testing.assert_allclose(mine["cosine"], wanted, atol=2e-3)


def test_the_page_shows_them_and_says_nothing_of_a_run_without(run: repflow.Run, tmp_path: Path) -> None:
    text = run.write_report().read_text(encoding="utf-8")
    found = views(text, "tokens")
    assert [view["own"] for view in found] == [
        f"{name}, example {n}" for name in ("gpt_neox 32×2", "mamba 32×2") for n in (1, 2)
    ]
    assert len(found[0]["text"]["tokens"]) == TOKENS
    without = repflow.flow(TINY[:1], context=40, texts=False, out=tmp_path / "run", **QUICK)
    assert without.table("tokens").empty
    assert not (tmp_path / "run" / "tokens.parquet").exists()
    assert 'id="examples"' not in without.write_report().read_text(encoding="utf-8")
