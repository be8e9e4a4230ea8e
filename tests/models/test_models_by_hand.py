"""Models whose sites are named by hand, or that have no final norm: what an error advises works."""

from pathlib import Path

import pytest
import torch
from tiny_models import model_of, save
from torch import Tensor, nn

import repflow
from repflow.core import BadSetting, ModelProblem, block_taps
from repflow.models import find_taps, load

OPT = {"ffn_dim": 64, "word_embed_proj_dim": 32, "do_layer_norm_before": False, "max_position_embeddings": 256}
SMALL = {"context": 32, "examples": 6, "calibration": 2}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An OPT whose norms follow its sublayers: nothing comes after the last block."""
    return save(tmp_path_factory.mktemp("bare"), model_of("opt", **OPT))


def test_the_error_says_what_loads_it(bare: str) -> None:
    with pytest.raises(ModelProblem, match=r"no norm reads what model\.decoder\.layers\.1 wrote.*'none'"):
        load(bare)
    subject = load(bare, final_norm="none")
    assert [tap.site.name for tap in subject.taps] == ["embed", "block.0", "block.1"]
    assert len(block_taps(subject.taps)) == subject.facts.n_blocks == 2
    assert load(bare, blocks="model.decoder.layers", final_norm="none").taps == subject.taps
    assert load(bare, blocks="decoder.layers", final_norm="none").taps == subject.taps


def test_a_flow_without_a_final_norm(bare: str, tmp_path: Path) -> None:
    run = repflow.flow([bare, "config:gpt2,layers=2,width=32"], final_norm="none", out=tmp_path, **SMALL)
    mine = run.layers[run.layers["subject"] == bare]
    assert set(mine["site"]) == {"embed", "block.0", "block.1"}
    assert mine.loc[mine["site"] == "block.1", "depth"].eq(1).all()
    assert len(run.pairs[run.pairs["subject_a"] == bare])
    assert len(run.paths[run.paths["subject"] == bare])
    assert run.write_report().stat().st_size > 10_000


def test_ablate_and_dynamics_without_a_final_norm(bare: str, tmp_path: Path) -> None:
    ablated = repflow.ablate(
        bare, what=["norm_removed", "attention_self"], final_norm="none", out=tmp_path / "a", **SMALL
    )
    assert "final_norm" not in set(ablated.layers["site"])
    assert ablated.write_report().is_file()
    with pytest.raises(BadSetting, match="@ablate=norm_removed:final needs norms"):
        load(f"{bare}@ablate=norm_removed:final", final_norm="none")
    moving = repflow.dynamics(bare, final_norm="none", out=tmp_path / "d", context=32, examples=6)
    assert moving.write_report().is_file()


def test_an_intervention_reaches_the_last_block_without_a_final_norm(bare: str) -> None:
    ids = torch.arange(12).view(1, 12)
    everywhere, first, last = (
        load(f"{bare}@ablate=norm_removed{place}", final_norm="none").forward(ids)[0]
        for place in ("", ":block.0", ":block.1")
    )
    assert not torch.allclose(everywhere, first)
    assert not torch.allclose(everywhere, last)
    with pytest.raises(BadSetting, match=r"no block\.2, the model has block\.0 to block\.1"):
        load(f"{bare}@ablate=norm_removed:block.2", final_norm="none")


def test_probes_without_a_final_norm(bare: str, tmp_path: Path) -> None:
    run = repflow.probe(
        bare,
        task="kvpr",
        keys="hex4",
        items=2,
        positions=2,
        context=200,
        examples=8,
        seeds=1,
        final_norm="none",
        new_tokens=2,
        out=tmp_path,
    )
    assert set(run.probes["site"]) == {"embed", "block.0", "block.1"}
    assert run.table("probe_summary")["final_norm"].isna().all()
    assert run.write_report().is_file()


def test_attribute_without_a_final_norm(bare: str, tmp_path: Path) -> None:
    run = repflow.attribute(bare, schemes=["normal"], seeds=3, final_norm="none", out=tmp_path, **SMALL)
    assert "final_norm" not in set(run.layers["site"])
    assert run.write_report().is_file()


def test_a_norm_that_the_unembedding_does_not_read_is_none(tmp_path: Path) -> None:
    spec = save(tmp_path, model_of("llama"))
    with pytest.raises(ModelProblem, match=r"breaks the site contract.*--final-norm MODULE"):
        load(spec, final_norm="model.layers.0.input_layernorm")
    with pytest.raises(ModelProblem, match="has no module 'nowhere'"):
        load(spec, final_norm="nowhere")
    assert load(spec, final_norm="none").facts.n_blocks == 2


def test_a_norm_used_twice_can_be_left_out(tmp_path: Path) -> None:
    spec = save(tmp_path, model_of("nanochat"))
    with pytest.raises(ModelProblem, match="the final norm of a model without one is 'none'"):
        load(spec)
    assert load(spec, final_norm="none").facts.n_blocks == 2


class Twin(nn.Module):
    """Two lists of blocks, one after the other, and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (
            nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)) for _ in range(2)
        )
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.first, *self.second):
            x = layer(x)
        return self.norm(x)


def test_two_lists_of_blocks_are_named_to_choose_from() -> None:
    twin, x = Twin(), torch.randn(1, 5, 8)
    with pytest.raises(ModelProblem, match="first, second would do; name one by hand: --blocks MODULE"):
        find_taps(twin, lambda: twin(x))
    assert len(find_taps(twin, lambda: twin(x), blocks="second")) == 4
