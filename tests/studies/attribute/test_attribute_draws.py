"""Which draws count, which are left out or refused, and which are shared by trainings of one architecture."""

from pathlib import Path
from typing import Any

import pytest
import torch
from attribute_tools import QUICK, TINY, saved, trainings

import repflow
from repflow.core import BadSetting, ModelProblem
from repflow.studies.attribute import subject as attribute_subject
from repflow.studies.flow.run import load_as


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_draw_that_is_the_subject_itself_counts_for_nothing(tmp_path: Path) -> None:
    run = repflow.attribute(TINY["gpt_neox"], schemes="config", seeds=3, out=tmp_path / "run", **QUICK)
    assert set(run.table("shares")["seeds"]) == {2}
    assert (
        f"{TINY['gpt_neox']}@init=config:0 is {TINY['gpt_neox']} itself and counts for no share" in run.info["warnings"]
    )
    assert any("is random already" in line for line in run.info["warnings"])


def test_a_scheme_that_no_subject_can_have_is_refused_and_one_that_some_can_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "odd", f"{TINY['gpt_neox']}@init=config:7")
    real = load_as

    def prompted(spec: Any, settings: Any) -> Any:
        subject = real(spec, settings)
        if str(spec) == folder:
            subject.model.register_parameter("soft_prompt", torch.nn.Parameter(torch.ones(3)))
        return subject

    monkeypatch.setattr(attribute_subject, "load_as", prompted)
    asked: dict[str, Any] = {"schemes": ["config", "permuted"], "seeds": 1, **QUICK}
    with pytest.raises(ModelProblem, match=r"cannot draw soft_prompt.*\+keep"):
        repflow.attribute(folder, out=tmp_path / "one", **asked)
    run = repflow.attribute([folder, TINY["mamba2"]], out=tmp_path / "two", **asked)
    drawn = run.table("shares").groupby("subject")["scheme"].unique().map(list).to_dict()
    assert drawn == {folder: ["permuted"], TINY["mamba2"]: ["permuted"]}, "config:0 is the other itself"
    assert any("soft_prompt" in line and "left out" in line for line in run.info["warnings"])
    kept = repflow.attribute(folder, keep=True, out=tmp_path / "kept", **asked)
    assert "soft_prompt" in kept.subjects[1]["kept"]
    assert any("as trained" in line for line in kept.subjects[1]["warnings"])


def test_trainings_of_one_architecture_are_judged_together(tmp_path: Path) -> None:
    """The pool's numbers are those of the parts; draws that are the same for all are measured once."""
    folders = trainings(tmp_path)
    asked: dict[str, Any] = {"schemes": ["config", "normal", "permuted"], "seeds": 3, "calibration": 0}
    run = repflow.attribute(
        folders, same_architecture=True, out=tmp_path / "run", tokens="all", **(QUICK | asked | {"context": 24})
    )
    drawn = [s["label"] for s in run.subjects if s["variant_of"]]
    assert sum("config:" in label for label in drawn) == 3
    assert sum("permuted:" in label for label in drawn) == sum("matched" in label for label in drawn) == 9
    shares = run.table("shares")
    pool = shares[shares["subject"] == "all 3 trainings"].set_index(["scheme", "third"])
    assert set(pool.index.get_level_values(0)) == {"config", "normal"}
    assert set(pool["trainings"]) == {3}
    for (scheme, third), row in pool.iterrows():
        parts = shares[(shares["scheme"] == scheme) & (shares["third"] == third) & (shares["trainings"] == 1)]
        assert len(parts) == 3
        assert row["trained"] == pytest.approx(parts["trained"].mean())
        assert parts["random"].nunique() == 1
        assert row["random"] == pytest.approx(parts["random"].iloc[0])
        assert row["difference"] == pytest.approx(parts["difference"].mean())
    assert {f["subject"] for f in run.findings} == {"all 3 trainings", *folders}
    assert set(shares["family_size"]) == {3, 9}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("config:gpt_neox,layers=2,width=32@init=config:8", "num_hidden_layers is 2, not 3"),
        ("config:gpt_neox,layers=3,width=32,hidden_act=relu@init=config:8", "hidden_act is 'relu', not 'gelu'"),
        ("config:mamba2,layers=3,width=32@init=config:8", "is not of"),
    ],
)
def test_another_architecture_is_refused_with_the_difference(tmp_path: Path, other: str, said: str) -> None:
    folders = [*trainings(tmp_path, [7]), saved(tmp_path / "other", other)]
    with pytest.raises(BadSetting, match=said):
        repflow.attribute(folders, same_architecture=True, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_a_copy_is_refused_as_no_other_training(tmp_path: Path) -> None:
    folders = [*trainings(tmp_path, [7, 8]), saved(tmp_path / "copy", f"{TINY['gpt_neox']}@init=config:7")]
    with pytest.raises(BadSetting, match=r"copy has the very weights of .*training-7; a copy is not another training"):
        repflow.attribute(folders, same_architecture=True, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
