"""Draws at the trained scale: every block's update as large as the trained one's, and nothing else touched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribute_tools import QUICK, saved

import repflow
from repflow.core import BadSpec, Example
from repflow.models import Init, Loaded, SubjectSpec, load, reinitialised
from repflow.models.initialise import drawn_matrices
from repflow.studies.attribute.matching import Scale, matched

EXAMPLES = [Example(i, tuple(range(3 + i, 40 + i))) for i in range(5)]
SPECS = {
    "gpt_neox": "config:gpt_neox,layers=3,width=32",
    "mamba2": "config:mamba2,layers=3,width=32",
    "jamba": "config:jamba,layers=4,width=32,attn_layer_period=2,attn_layer_offset=1",
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trained(family: str) -> Loaded:
    """Matrices four times as large as drawn, so that updates are large beside the stream, the deeper the more."""
    subject = load(SPECS[family])
    with torch.no_grad():
        for place, tensor in enumerate(drawn_matrices(subject.model).values()):
            tensor.mul_(3 + 0.05 * place)
    return subject


@pytest.mark.parametrize("family", sorted(SPECS))
@pytest.mark.parametrize("scheme", ["normal", "kaiming"])
def test_updates_come_to_the_trained_scale(family: str, scheme: str) -> None:
    subject = trained(family)
    scale = Scale.of(subject, EXAMPLES)
    with reinitialised(subject, Init(scheme, 2)) as plain:
        before = Scale.of(plain, EXAMPLES).ratios
    with reinitialised(subject, Init(scheme, 2, matched=True)) as drawn:
        found = matched(drawn, scale)
        after = Scale.of(found, EXAMPLES).ratios
    assert np.abs(before - scale.ratios).max() > 0.1, "the plain draw is of another scale"
    assert np.abs(after - scale.ratios).max() < 0.05
    assert len(found.facts.scales) == len(scale.ratios)
    assert found.facts.warnings == ()
    assert found.facts.weights_sha256 != drawn.facts.weights_sha256


def test_each_block_has_one_factor_and_nothing_else_changes() -> None:
    subject = trained("mamba2")
    scale = Scale.of(subject, EXAMPLES)
    with reinitialised(subject, Init("normal", 1)) as drawn:
        before = {name: tensor.clone() for name, tensor in drawn.model.named_parameters()}
        found = matched(drawn, scale)
        for name, tensor in drawn.model.named_parameters():
            inside = name in drawn_matrices(drawn.model) and ".layers." in name
            factor = found.facts.scales[int(name.split(".layers.")[1].split(".")[0])] if inside else 1.0
            torch.testing.assert_close(tensor, before[name] * factor)
    assert any(name.endswith("A_log") for name in before)
    assert not any(name.endswith("A_log") for name in drawn_matrices(subject.model))


def test_a_block_that_does_not_follow_its_matrices_is_named() -> None:
    """A norm behind the sublayer sets the size of its update, whatever the matrices."""
    subject = load("config:llama,layers=2,width=32")
    scale = Scale.of(subject, EXAMPLES)
    block = subject.model.get_submodule("model.layers.1")
    plain = block.forward

    def normed(states: Any, *args: Any, **more: Any) -> Any:
        out = plain(states, *args, **more)
        first = out[0] if isinstance(out, tuple) else out
        update = first - states
        moved = states + 5 * update / update.norm(dim=-1, keepdim=True) * states.norm(dim=-1, keepdim=True)
        return (moved, *out[1:]) if isinstance(out, tuple) else moved

    with reinitialised(subject, Init("normal", 1, matched=True)) as drawn:
        block.forward = normed
        found = matched(drawn, scale)
    assert found.facts.warnings == ("init=normal:1+matched: updates of block.1 do not come to the trained scale",)


def test_a_run_gives_generic_schemes_at_the_trained_scale_too(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", f"{SPECS['gpt_neox']}@init=config:7", lambda model: [
        tensor.mul_(4) for tensor in drawn_matrices(model).values()
    ])  # fmt: skip
    asked: dict[str, Any] = {"schemes": ["config", "kaiming", "permuted"], "seeds": 2, **QUICK}
    run = repflow.attribute(folder, out=tmp_path / "run", **asked)
    assert run.table("shares")["scheme"].unique().tolist() == ["config", "kaiming", "kaiming+matched", "permuted"]
    plain, scaled = (next(s for s in run.subjects if s["init"] == f"kaiming:0{end}") for end in ("", "+matched"))
    assert (plain["scales"], len(scaled["scales"])) == ([], 3)
    assert plain["weights_sha256"] != scaled["weights_sha256"]
    again = repflow.attribute(folder, out=tmp_path / "without", matched=False, **asked)
    assert again.table("shares")["scheme"].unique().tolist() == ["config", "kaiming", "permuted"]


def test_a_spec_cannot_ask_for_the_trained_scale() -> None:
    assert Init("normal", 0, matched=True).name == "normal+matched"
    with pytest.raises(BadSpec, match="told from examples"):
        SubjectSpec.parse("gpt2@init=normal:0+matched")
