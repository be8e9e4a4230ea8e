"""CKA between the subjects of a run, from the settings to the rows."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import repflow
from repflow.models.byte_tokenizer import byte_tokenizer

TINY = "config:pythia,layers=2,width=32"
OTHER = "config:mamba2,layers=3,width=48"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def between(run: repflow.Run, metric: str, variant: str, tokens: str = "all") -> pd.DataFrame:
    rows = run.pairs[run.pairs["subject_a"] != run.pairs["subject_b"]]
    rows = rows[(rows["metric"] == metric) & (rows["variant"] == variant) & (rows["tokens"] == tokens)]
    return rows.pivot_table(index="site_a", columns="site_b", values="value", sort=False, dropna=False)


def test_a_subject_and_its_twin_are_alike_site_by_site(tmp_path: Path) -> None:
    run = repflow.flow([TINY, f"{TINY}@init=config:0"], examples=24, context=40, out=tmp_path / "run")
    within = run.pairs.query("subject_a == subject_b and variant == 'token' and tokens == 'all'")
    for variant in ("token", "example"):
        values, calibrated = between(run, "cka", variant), between(run, "cka_calibrated", variant)
        assert list(values.index) == list(values.columns) == ["embed", "block.0", "block.1", "final_norm"]
        for site in values.index:
            assert values.loc[site, site] == pytest.approx(1.0, abs=1e-5)
            assert calibrated.loc[site, site] == pytest.approx(1.0, abs=1e-4)
    tokens = between(run, "cka", "token")
    for row in within.itertuples():
        # Between models a sample of 64 tokens stands for up to 256; here an example has 40.
        assert tokens.loc[row.site_a, row.site_b] == pytest.approx(row.value, abs=1e-5)


def test_two_models_with_one_tokenizer(tmp_path: Path) -> None:
    run = repflow.flow([TINY, OTHER], examples=24, context=40, permutations=39, out=tmp_path / "run")
    values, nulls = between(run, "cka", "token", "no_sink"), between(run, "cka_null", "token", "no_sink")
    calibrated = between(run, "cka_calibrated", "token", "no_sink")
    assert values.shape == (4, 5)
    assert ((calibrated >= 0) & (calibrated <= 1)).all(axis=None)
    expected = ((values - nulls) / (1 - nulls)).clip(0, 1)
    pd.testing.assert_frame_equal(calibrated, expected, atol=1e-9)
    # Random weights keep what the bytes of a text have in common, so the embeddings are alike beyond chance.
    assert values.loc["embed", "embed"] > 0.5
    assert calibrated.loc["embed", "embed"] > 0.5


def test_three_subjects_are_compared_two_by_two_and_none_without_permutations(tmp_path: Path) -> None:
    subjects = [TINY, OTHER, f"{TINY}@init=normal:1"]
    options: dict[str, Any] = {"examples": 6, "context": 32, "calibration": 2, "replicates": 40}
    run = repflow.flow(subjects, permutations=19, out=tmp_path / "run", **options)
    both = run.pairs.query("subject_a != subject_b")[["subject_a", "subject_b"]].drop_duplicates()
    assert len(both) == 3
    alone = repflow.flow(subjects, permutations=0, out=tmp_path / "alone", **options)
    assert (alone.pairs["subject_a"] == alone.pairs["subject_b"]).all()
    pd.testing.assert_frame_equal(alone.layers, run.layers)


def pairwise_tokenizer(folder: Path) -> str:
    """Bytes, and a token for each two-letter sequence of e, t and a: another tokenizer for the same texts."""
    known = byte_tokenizer().get_vocab()
    letters = {token: i for token, i in known.items() if not token.startswith("<|")}
    merges = [(a, b) for a in "eta" for b in "eta"]
    vocabulary = letters | {a + b: 256 + i for i, (a, b) in enumerate(merges)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_other_tokenizers_cut_text_into_other_examples(tmp_path: Path) -> None:
    other = f"{OTHER},tokenizer={pairwise_tokenizer(tmp_path / 'tokenizer')}"
    run = repflow.flow([TINY, other], examples=8, context=40, calibration=2, out=tmp_path / "run")
    assert (run.pairs["subject_a"] == run.pairs["subject_b"]).all()
    assert any("no CKA between them" in w and "tokenizers" in w for w in run.info["warnings"])


def test_other_tokenizers_with_the_same_documents_give_example_rows(tmp_path: Path) -> None:
    other = f"{OTHER},tokenizer={pairwise_tokenizer(tmp_path / 'tokenizer')}"
    text = tmp_path / "documents.txt"
    text.write_text("\n\n".join(f"a teatime story, number {i} of {7 * i}" for i in range(12)), encoding="utf-8")
    run = repflow.flow([TINY, other], text=text, pack=False, examples=9, calibration=3, out=tmp_path / "run")
    lengths = {task["subject"]: task["n_tokens"] for task in run.info["tasks"]}
    assert lengths[TINY] > lengths[other], "the second tokenizer joins letters"
    rows = run.pairs.query("subject_a != subject_b")
    assert set(rows["variant"]) == {"example"}
    assert set(rows["metric"]) == {"cka", "cka_calibrated", "cka_null"}
    assert not any("no CKA" in w for w in run.info["warnings"])
