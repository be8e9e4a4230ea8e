"""What a run says of its power, against worlds judged one by one."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from repflow.studies.attribute.power import Setting, power, powers, setting_of
from repflow.studies.attribute.rows import ShareRow
from repflow.studies.attribute.share import Case, share_of, verdict_of

SHARED, OWN = 0.25, 0.1


def world(share: float, draws: int, units: int, spread: float, rng: np.random.Generator) -> Case:
    common, luck = rng.normal(0, SHARED, units), rng.normal(0, spread, (1 + draws, 1))
    own = luck + rng.normal(0, OWN, (1 + draws, units))
    trained, random = 1 + common + own[:1], share * (1 + common) + own[1:]
    weights = rng.poisson(1.0, (units, 200)).astype(float)
    total = weights.sum(0)
    return Case(trained.mean(1), trained @ weights / total, random.mean(1), random @ weights / total, units)


@pytest.mark.parametrize(
    ("share", "verdict", "draws", "spread"),
    [
        (1.0, "architecture", 5, 0.05),
        (0.5, "mixed", 3, 0.1),
        (0.0, "training", 3, 0.1),
        (1.5, "reduced by training", 5, 0.1),
    ],
)
def test_the_sentence_says_what_worlds_show(share: float, verdict: str, draws: int, spread: float) -> None:
    rng = np.random.default_rng(0)
    found = np.mean([verdict_of(world(share, draws, 30, spread, rng)).name == verdict for _ in range(150)])
    told = power(share, verdict, Setting(draws, 30, spread, SHARED / 30**0.5, OWN / 30**0.5))
    assert told == pytest.approx(found, abs=0.12), "three standard errors of 150 worlds"


def test_power_grows_with_draws_and_falls_with_correction() -> None:
    settings = [Setting(draws, 30, 0.05, 0.04, 0.02) for draws in (2, 3, 5, 10, 20)]
    found = [power(1.0, "architecture", setting) for setting in settings]
    assert found[0] == 0
    assert sorted(found) == found
    assert power(1.0, "architecture", settings[2], 0.05 / 15) < found[2] / 2
    assert power(1.0, "architecture", Setting(5, 7, 0.01, 0.01, 0.01)) == 0


def rows(count: int = 3, **more: Any) -> list[ShareRow]:
    case = world(1.0, 5, 30, 0.05, np.random.default_rng(3))
    found = share_of(case)
    spans = {f"{name}{end}": value for name in ("trained", "random", "difference", "share")
             for end, value in zip(("", "_low", "_high"), getattr(found, name), strict=True)}  # fmt: skip
    about: dict[str, Any] = {"variant": "raw", "tokens": "no_sink", "scheme": "config"} | more
    return [
        ShareRow(
            subject="a", family="f", task="text", context=64, metric="inter_token_cosine", third=str(third), **spans,
            seeds=5, seed_spread=found.draw_spread, n_examples=30, verdict="undecided", reason="", n_units=30,
            unit_error=found.unit_error, family_size=count, **about,
        )
        for third in range(count)
    ]  # fmt: skip


def test_the_spreads_are_read_from_the_rows() -> None:
    setting = setting_of(rows())
    assert setting is not None
    assert (setting.draws, setting.units) == (5, 30)
    assert setting.own == pytest.approx(OWN / 30**0.5, rel=0.4)
    assert setting.shared == pytest.approx(SHARED / 30**0.5, rel=0.4)


def test_a_run_says_its_power_in_a_sentence_for_each_variant() -> None:
    told = powers([*rows(), *rows(variant="centred"), *rows(tokens="all"), *rows(scheme="normal")])
    assert list(told) == ["raw", "centred"]
    sentence = told["raw"]
    assert sentence.count(". ") == 0
    for words in ("5 draws", "30 units", "share of 1 as architecture in", "corrected for 3"):
        assert words in sentence
    assert powers([]) == {}


def test_without_a_share_nothing_is_said_of_power() -> None:
    bare = [replace(row, share=math.nan) for row in rows(1)]
    assert setting_of(bare) is None
    assert "nothing can be said" in powers(bare)["raw"]
