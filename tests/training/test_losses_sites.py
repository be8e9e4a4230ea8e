"""Sites by name, by a range of blocks or of depths, and what a wrong one is told."""

import pytest
from losses_kit import tiny

from repflow.core import BadSetting, CallerError, UnknownName, sites_for
from repflow.training.losses import ContrastiveTokens, TokenDiversity, VGlob, VLoc, flow_losses

SITES = sites_for(12)


def _read(term: TokenDiversity | ContrastiveTokens | VLoc) -> list[str]:
    return [",".join(site.name for site in group) for group in term.groups(SITES)]


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (None, [f"block.{i}" for i in range(12)]),
        ("block.3", ["block.3"]),
        ("block.9-11", ["block.9", "block.10", "block.11"]),
        ("block.5-5", ["block.5"]),
        ("0.75-1", ["block.8", "block.9", "block.10", "block.11"]),
        ("0-0.1", ["block.0"]),
        ("block.9, embed,block.9-10", ["embed", "block.9", "block.10"]),
        (["final_norm", "block.0"], ["block.0", "final_norm"]),
    ],
)
def test_sites_are_named_by_name_range_or_depth(given: str | list[str] | None, chosen: list[str]) -> None:
    assert _read(TokenDiversity(0.1, sites=given)) == chosen


def test_contrastive_tokens_read_the_site_before_each_also_when_that_is_not_chosen() -> None:
    assert _read(ContrastiveTokens(0.1, sites="block.0,block.4-5")) == [
        "embed,block.0",
        "block.3,block.4",
        "block.4,block.5",
    ]
    assert len(_read(ContrastiveTokens(0.1))) == 12
    with pytest.raises(BadSetting, match="none before embed"):
        _read(ContrastiveTokens(0.1, sites="embed"))


@pytest.mark.parametrize("term", [VLoc, VGlob])
def test_a_path_is_everything_but_the_final_norm_unless_named(term: type[VLoc]) -> None:
    assert _read(term(0.1)) == [",".join(["embed", *(f"block.{i}" for i in range(12))])]
    assert _read(term(0.1, sites="block.2-4")) == ["block.2,block.3,block.4"]
    for wrong in ("block.2", "block.11,final_norm"):
        with pytest.raises(BadSetting, match=f"two sites or more.*got {wrong.split(',')[-1]}"):
            _read(term(0.1, sites=wrong))


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (
            "block.12",
            UnknownName,
            r"unknown site 'block\.12'; did you mean block.*known: block\.0, .*embed, final_norm",
        ),
        ("layer.3", UnknownName, "unknown site 'layer.3'.*known: "),
        ("block.6-12", UnknownName, r"unknown site 'block\.12'"),
        ("block.6-5", BadSetting, r"'block\.6-5' holds no block.*block\.11 \(1\.00\)"),
        ("0.05-0.08", BadSetting, "holds no block"),
        ("2-3", BadSetting, "holds no block"),
        ([], BadSetting, "no sites given"),
    ],
)
def test_a_wrong_site_is_refused_with_a_list_of_the_sites(given: str, error: type[CallerError], says: str) -> None:
    with pytest.raises(error, match=says):
        _read(TokenDiversity(0.1, sites=given))


def test_the_sites_are_those_of_the_model_at_hand() -> None:
    known = r"unknown site 'block\.3'.*known: block\.0, block\.1, block\.2, embed, final_norm"
    with pytest.raises(UnknownName, match=known), flow_losses(tiny("mamba"), [TokenDiversity(0.1, sites="block.3")]):
        raise AssertionError("not reached")
