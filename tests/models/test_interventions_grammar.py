"""What an intervention's argument may be, and what is said of one that cannot be."""

import math

import pytest
from intervention_tools import named

from repflow.core import BadSetting, BadSpec, CallerError, UnknownName
from repflow.models import INTERVENTIONS, Loaded, SubjectSpec, ablated, check_source, load, possible
from repflow.models.families import FAMILIES
from repflow.models.interventions.grammar import RULES, Clamp, Order, read_order
from repflow.models.interventions.ways import WAYS


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("norm_reset", Order("norm_reset", None, None, True)),
        ("norm_reset:final", Order("norm_reset", None, (), True)),
        ("norm_removed:block.3", Order("norm_removed", None, (3,), False)),
        ("norm_removed:block.1-3,final,block.7", Order("norm_removed", None, (1, 2, 3, 7), True)),
        ("attention_window:64", Order("attention_window", 64, None, False)),
        ("attention_window:1,block.0-1", Order("attention_window", 1, (0, 1), False)),
        ("attention_self:block.2", Order("attention_self", None, (2,), False)),
        ("residual_scaled:-1.5,block.0", Order("residual_scaled", -1.5, (0,), False)),
        ("residual_scaled:0,block.-1", Order("residual_scaled", 0.0, (-1,), False)),
        ("ssm_clamp_a:0", Order("ssm_clamp_a", Clamp(0.0, 1.0), None, False)),
        ("ssm_clamp_a:-inf:0.25,block.1", Order("ssm_clamp_a", Clamp(-math.inf, 0.25), (1,), False)),
    ],
)
def test_what_is_written_is_read(text: str, order: Order) -> None:
    assert read_order(named(text)) == order
    assert read_order(SubjectSpec.parse(f"gpt2@ablate={text}@revision=x").ablations[0]) == order


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("norm_rest", UnknownName, "did you mean norm_reset"),
        ("norm_reset:3", BadSpec, "'3' is not a place; write block.3, block.0-5, block.-1"),
        ("norm_reset:", BadSpec, "'' is not a place"),
        ("norm_reset:block.3-1", BadSpec, "'block.3-1' is not a place"),
        ("norm_reset:block.-0", BadSpec, "'block.-0' is not a place"),
        ("norm_reset:block.-2--1", BadSpec, "not a place"),
        ("residual_cut:final", BadSpec, "'final' is not a place; write block.3, block.0-5, block.-1"),
        (
            "attention_window",
            BadSpec,
            "needs a number of tokens of 1 or more, got none; write e.g. attention_window:64",
        ),
        ("attention_window:0", BadSpec, "got '0'"),
        ("attention_window:2.5", BadSpec, "got '2.5'"),
        ("attention_window:block.3", BadSpec, "got 'block.3'"),
        ("attention_window:64,3", BadSpec, "'3' is not a place"),
        ("attention_uniform:64", BadSpec, "'64' is not a place"),
        ("residual_scaled", BadSpec, "needs a number, got none"),
        ("residual_scaled:nan", BadSpec, "got 'nan'"),
        ("residual_scaled:inf", BadSpec, "got 'inf'"),
        ("ssm_clamp_a:1", BadSpec, "needs 0 or -inf"),
        ("ssm_clamp_a:0:0", BadSpec, "got '0:0'"),
        ("ssm_clamp_a:0:1.5", BadSpec, "got '0:1.5'"),
        ("ssm_clamp_a:0:", BadSpec, "got '0:'"),
    ],
)
def test_what_cannot_be_read_is_refused_before_a_model_is_opened(
    text: str, error: type[CallerError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        check_source(SubjectSpec.parse(f"config:gpt2@ablate={text}"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_name_has_a_rule_and_a_way() -> None:
    assert tuple(RULES) == tuple(WAYS) == INTERVENTIONS


@pytest.fixture(scope="module")
def hybrid() -> Loaded:
    """Attention in the blocks 1 and 3, mixers in 0 and 2."""
    return load("config:jamba,width=32")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("norm_reset:block.4", "there is no block.4, the model has block.0 to block.3"),
        ("residual_cut:block.-5", "there is no block.-5, the model has block.0 to block.3"),
        ("residual_cut:block.2-9", "there is no block.9, the model has block.0 to block.3"),
        ("attention_self:block.0", "needs attention modules, present in block.1, block.3 only"),
        ("ssm_no_conv:block.1,block.3", "needs state-space mixers, present in block.0, block.2 only"),
    ],
)
def test_places_that_the_model_has_not(hybrid: Loaded, text: str, says: str) -> None:
    with pytest.raises(BadSetting, match=says) as caught, ablated(hybrid, [named(text)]):
        pass
    assert str(caught.value).startswith(f"{hybrid.facts.label}: @ablate={text}")


def test_parts_that_the_family_has_not() -> None:
    with pytest.raises(BadSetting, match="needs state-space mixers, gpt2 has none; possible here: norm_reset, ") as a:
        load("config:gpt2,width=16@ablate=ssm_no_conv")
    assert "\n" not in str(a.value)
    with pytest.raises(BadSetting, match="needs attention modules, mamba has none") as b:
        load("config:mamba,width=16@ablate=attention_self")
    assert "attention" not in str(b.value).partition("possible here")[2]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_is_possible_follows_the_kind(family: str) -> None:
    groups = {name.partition("_")[0] for name in possible(load(f"config:{family},width=32"))}
    attends, recurs = {"attention"}, {"ssm"}
    own = {"TBM": attends, "SSM": recurs, "hybrid": attends | recurs, "recurrent": set[str]()}[FAMILIES[family].kind]
    if family == "recurrent_gemma":
        own = attends
    assert groups == {"norm", "residual"} | own
