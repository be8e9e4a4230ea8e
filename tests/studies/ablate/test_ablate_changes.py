"""How changes are written, and which a model can have."""

from typing import Any

import pytest
import torch

from repflow.core import BadSetting, BadSpec, CallerError, UnknownName
from repflow.models import INTERVENTIONS, load
from repflow.studies.ablate.changes import changes_for, left_out, parse_change
from repflow.studies.ablate.settings import AblateSettings, ChangeSettings
from repflow.studies.kit.fields import from_flat


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("text", "what", "blocks"),
    [
        ("norm_reset", "norm_reset", "all"),
        ("norm_reset:final", "norm_reset", "final"),
        ("norm_reset:block.0-2,final", "norm_reset", "block.0-2,final"),
        ("attention_window:64", "attention_window:64", "all"),
        ("attention_window:64,block.3", "attention_window:64", "block.3"),
        ("ssm_clamp_a:-inf:0.5,block.1", "ssm_clamp_a:-inf:0.5", "block.1"),
        ("ssm_no_conv+ssm_no_gate", "ssm_no_conv+ssm_no_gate", "all"),
        ("ssm_no_conv:block.1+residual_scaled:0.5", "ssm_no_conv+residual_scaled:0.5", "block.1+all"),
        ("ssm_no_conv:block.1+ssm_no_gate:block.1", "ssm_no_conv+ssm_no_gate", "block.1"),
    ],
)
def test_a_change_says_what_and_where(text: str, what: str, blocks: str) -> None:
    change = parse_change(text)
    assert (change.text, change.what, change.blocks) == (text, what, blocks)


def test_a_change_moves_to_a_block() -> None:
    moved = parse_change("norm_reset+attention_window:8").at("block.2")
    assert moved.text == "norm_reset:block.2+attention_window:8,block.2"
    assert moved == parse_change(moved.text)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"what": ["norm_rest"]}, UnknownName, "unknown intervention 'norm_rest'; did you mean norm_reset"),
        ({"what": ["norm_reset+"]}, BadSetting, "cannot be read; write NAME"),
        ({"what": ["norm_reset:"]}, BadSpec, "is not a place"),
        ({"what": ["attention_window"]}, BadSpec, "a number of tokens of 1 or more, got none"),
        ({"what": ["attention_window:-3"]}, BadSpec, "1 or more, got '-3'"),
        ({"what": ["norm_reset:block.3-1"]}, BadSpec, "is not a place"),
        ({"what": ["norm_reset", "norm_reset"]}, BadSetting, "names norm_reset twice"),
        ({"what": ["attention_window:8"], "windows": [8]}, BadSetting, "attention_window:8 is asked for twice"),
        ({"windows": [0]}, BadSetting, "--windows must be at least 1"),
        ({"what": ["norm_reset:final"], "each_block": True}, BadSetting, "--each-block says where norm_reset:final"),
        ({"metrics": ["norms"]}, UnknownName, "did you mean norm"),
        ({"tokens": ["sink"]}, UnknownName, "token policy"),
        ({"new_tokens": 0}, BadSetting, "--new-tokens"),
        ({"permutations": 3}, UnknownName, "unknown setting 'permutations'"),
    ],
)
def test_slips_are_one_line(values: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        from_flat(AblateSettings, ("config:gpt2",), values)
    assert isinstance(caught.value, CallerError)
    assert "\n" not in str(caught.value)


def test_windows_are_changes_like_others() -> None:
    named = ChangeSettings(("norm_reset",), (16, 64)).named
    assert [change.text for change in named] == ["norm_reset", "attention_window:16", "attention_window:64"]
    with pytest.raises(BadSetting, match="named twice"):
        AblateSettings(("config:gpt2", "config:gpt2"))


@pytest.mark.parametrize("family", ["gpt_neox", "mamba", "jamba"])
def test_without_a_name_a_model_gets_all_it_can_have(family: str) -> None:
    subject = load(f"config:{family},layers=2,width=32")
    names = {change.what.partition(":")[0] for change in changes_for(subject, (), False).made}
    assert names == {
        name
        for name in INTERVENTIONS
        if name.startswith(("norm", "residual", *({"gpt_neox": ["att"], "mamba": ["ssm"]}.get(family, ["att", "ssm"]))))
    }


def test_each_block_takes_the_blocks_that_have_the_part() -> None:
    subject = load("config:jamba,layers=4,width=32,attn_layer_period=2,attn_layer_offset=1")
    found = changes_for(subject, [parse_change("attention_self"), parse_change("norm_reset")], True)
    assert [change.text for change in found.made] == [
        "attention_self:block.1",
        "attention_self:block.3",
        *(f"norm_reset:block.{i}" for i in range(4)),
    ]


def test_what_no_model_can_have_is_refused_with_what_it_can() -> None:
    subject = load("config:gpt2,layers=2,width=16")
    for each_block in (False, True):
        with pytest.raises(BadSetting, match=r"gpt2 has none; .*norm_reset, norm_removed, attention_window"):
            left_out([changes_for(subject, [parse_change("ssm_no_conv")], each_block)])
    with pytest.raises(BadSetting, match=r"there is no block\.2, the model has block\.0 to block\.1"):
        left_out([changes_for(subject, [parse_change("norm_reset:block.1-2")], False)])


@pytest.mark.parametrize("each_block", [False, True])
def test_what_some_model_can_have_is_made_there_and_said_of_the_others(each_block: bool) -> None:
    named = [parse_change(text) for text in ("ssm_no_conv", "attention_self", "ssm_no_gate+attention_self")]
    subjects = [load(f"config:{family},layers=2,width=32") for family in ("gpt2", "mamba", "falcon_h1")]
    found = [changes_for(subject, named, each_block) for subject in subjects]
    assert [[named.index(change) for change in each.refused] for each in found] == [[0, 2], [1, 2], []]
    assert all(each.made for each in found)
    lines = left_out(found)
    assert [line.partition(" is left out: ")[0] for line in lines] == [
        "ssm_no_conv", "ssm_no_gate+attention_self", "attention_self", "ssm_no_gate+attention_self",
    ]  # fmt: skip
    with pytest.raises(BadSetting, match="gpt2 has none"):
        left_out(found[:1])
    with pytest.raises(BadSetting, match="gpt2 has none"):
        left_out(found[:2])
