"""Signatures fire only where the whole interval is past the threshold, and say which rows they rest on."""

from dataclasses import asdict
from typing import Any

import pandas as pd
import pytest

from repflow.core import LayerRow, PairRow
from repflow.studies.flow import findings as found
from repflow.studies.flow.answers import MOST
from repflow.studies.flow.findings import TOLD, flow_findings
from repflow.studies.flow.study import Flow

BLOCKS = 8
NONE = float("nan")


def layer(site: str, metric: str, value: float, spare: float = 0.01, **more: Any) -> LayerRow:
    place = {"embed": 0, "final_norm": BLOCKS + 1}.get(site) or (int(site.split(".")[1]) + 1 if "." in site else 0)
    depth = min(place, BLOCKS) / BLOCKS
    given = {"variant": "raw", "tokens": "no_sink", "n_units": 40, "subject": "a"} | more
    return LayerRow(
        given["subject"], "llama", "trained", "text", 256, site, place, depth, metric, given["variant"],
        given["tokens"], value, value - spare, value + spare, 40, 10_000, None, given["n_units"],
    )  # fmt: skip


def cosines(values: list[float], spare: float = 0.01, **more: Any) -> list[LayerRow]:
    return [layer(f"block.{block}", "inter_token_cosine", value, spare, **more) for block, value in enumerate(values)]


def pair(block: int, value: float, spare: float = 0.001) -> PairRow:
    a, b = f"block.{block - 1}", f"block.{block}"
    ends = (value - spare, value + spare)
    return PairRow(
        "a", a, block / BLOCKS, "a", b, (block + 1) / BLOCKS, "text", 256, "cka", "token", "no_sink", value, *ends, 40
    )


def told(layers: list[LayerRow], pairs: list[PairRow] | None = None) -> dict[str, list[dict[str, Any]]]:
    tables = (
        pd.DataFrame([asdict(row) for row in layers]),
        pd.DataFrame([asdict(row) for row in pairs or [pair(1, 0.5)]]),
    )
    made: dict[str, list[dict[str, Any]]] = {}
    for each in flow_findings(*tables):
        made.setdefault(each["id"], []).append(each)
    return made


LOW = [0.1] * BLOCKS


def test_ids_are_those_that_the_study_tells() -> None:
    assert Flow.told == TOLD


def test_the_place_of_the_highest_is_always_told() -> None:
    made = told(cosines([0.1, 0.2, 0.5, 0.3, 0.1, 0.1, 0.1, 0.1]))
    assert set(made) == {found.ALIKE}
    (alike,) = made[found.ALIKE]
    assert (alike["value"], alike["evidence"][0]["site"], alike["threshold"]) == (0.5, "block.2", None)
    assert alike["next"] == "repflow probe a --task kvpr --items 8"


@pytest.mark.parametrize(
    ("values", "spare", "fires"),
    [
        ([0.1, 0.85] + [0.1] * 6, 0.04, True),
        ([0.1, 0.85] + [0.1] * 6, 0.06, False),
        ([0.1, 0.1, 0.1, 0.9] + [0.1] * 4, 0.01, False),
    ],
)
def test_early_homogenisation(values: list[float], spare: float, fires: bool) -> None:
    made = told(cosines(values, spare))
    assert (found.HOMOGENISES in made) == fires
    if fires:
        (early,) = made[found.HOMOGENISES]
        assert early["evidence"][0]["site"] == "block.1"
        assert early["interval"] == pytest.approx([0.81, 0.89])


def test_late_saturation_needs_the_height_and_the_rise() -> None:
    assert found.SATURATES in told(cosines([*LOW[:5], 0.6, 0.7, 0.9]))
    assert found.SATURATES not in told(cosines([*LOW[:5], 0.9, 0.9, 0.9]))
    assert found.SATURATES not in told(cosines([*LOW[:5], 0.1, 0.3, 0.65]))


def test_sinks_and_offsets_are_differences_of_the_rows_ends() -> None:
    plain = cosines(LOW)
    assert found.SINKS in told([*plain, *cosines([0.1] * 7 + [0.25], tokens="all")])
    assert found.SINKS not in told([*plain, *cosines([0.1] * 7 + [0.21], tokens="all")])
    high = cosines([0.5] * BLOCKS)
    (shared,) = told([*high, *cosines([0.1] * BLOCKS, variant="centred")])[found.SHARED]
    assert shared["value"] == pytest.approx(0.4)
    assert shared["interval"] == pytest.approx([0.38, 0.42])
    assert found.SHARED not in told([*high, *cosines([0.19] * BLOCKS, variant="centred")])


def test_rogue_features() -> None:
    def share(value: float) -> list[LayerRow]:
        return [layer(f"block.{block}", "feature_share", value, variant="k=3") for block in range(BLOCKS)]

    assert found.FEATURES in told([*cosines(LOW), *share(0.6)])
    assert found.FEATURES not in told([*cosines(LOW), *share(0.505)])


def test_the_final_norm_is_set_beside_the_last_block() -> None:
    def turn(norm: float, block: float) -> list[LayerRow]:
        rows = [layer(f"block.{each}", "adjacent_cosine", block) for each in range(BLOCKS)]
        return [*cosines(LOW), *rows, layer("final_norm", "adjacent_cosine", norm)]

    (made,) = told(turn(0.7, 0.9))[found.NORM_TURNS]
    assert made["value"] == pytest.approx(0.75)
    assert made["interval"] == pytest.approx([0.29 / 0.4, 0.31 / 0.4])
    assert found.NORM_TURNS not in told(turn(0.89, 0.9))


def test_redundant_blocks_come_in_runs() -> None:
    updates = [0.3, 0.02, 0.02, 0.3, 0.02, 0.3, 0.3, 0.02]
    rows = [layer(f"block.{block}", "update_ratio", value, 0.005) for block, value in enumerate(updates)]
    likes = [0.9, 0.999, 0.999, 0.999, 0.995, 0.999, 0.999, 0.9]
    pairs = [pair(block, likes[block]) for block in range(1, BLOCKS)]
    made = told([*cosines(LOW), *rows], pairs)[found.REDUNDANT]
    assert [each["claim"].split(" change")[0] for each in made] == ["block.1 to block.2", "block.4"]


def test_few_units_say_why_nothing_is_told() -> None:
    rows = [
        LayerRow(*(NONE if name in ("ci_low", "ci_high") else value for name, value in asdict(row).items()))
        for row in cosines([0.95] * BLOCKS, n_units=5)
    ]
    made = told(rows)
    assert set(made) == {found.UNTOLD}
    assert "5 units make no interval" in made[found.UNTOLD][0]["claim"]


def test_models_in_training_are_told_of_at_their_last_step() -> None:
    def at(step: int, value: float) -> list[LayerRow]:
        return [LayerRow(**{**asdict(row), "step": step}) for row in cosines([value] * BLOCKS)]

    made = told([*at(0, 0.9), *at(100, 0.2)])
    assert found.HOMOGENISES not in made
    assert made[found.ALIKE][0]["value"] == 0.2


def test_answers_of_the_shipped_training_are_few_and_end_with_care() -> None:
    from repflow.report.reading import read
    from repflow.store import open_run

    source = read(open_run("zoo:training"))
    made = Flow().answers(source)
    assert 2 <= len(made) <= MOST
    assert made[-1].headline == "What these sentences do not say"
    assert "one training a model" in made[-1].evidence


def test_commands_quote_what_a_shell_would_read() -> None:
    made = told(cosines([0.9] * BLOCKS, subject="my model;rm"))
    assert made[found.HOMOGENISES][0]["next"] == "repflow attribute 'my model;rm'"
    assert found.SINKS not in made
