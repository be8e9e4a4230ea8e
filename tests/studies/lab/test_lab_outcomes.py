"""Means, differences and slopes over trainings are those of scipy, and never surer than their questions allow."""

import math

import numpy as np
import pytest
from lab_run import cell_rows, grid, layer_rows, path_rows
from scipy import stats

from repflow.studies.lab.cells import Architecture, Cell, Loss
from repflow.studies.lab.findings import findings_of
from repflow.studies.lab.outcomes import OUTCOMES, contrasts_of, groups_of, outcomes_of, slopes_of
from repflow.studies.lab.rows import OutcomeRow


def rows(architecture: str, values: list[float], outcome: str = "text 256", answers: int | None = None):
    return [
        OutcomeRow(f"{architecture}:{seed}", architecture, "none", seed, True, outcome, value, answers)
        for seed, value in enumerate(values)
    ]


def test_groups_have_students_interval() -> None:
    values = [6.1, 6.3, 6.2, 6.9]
    (found,) = groups_of(rows("a", values))
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high))
    assert (found.least, found.most, found.trainings) == (6.1, 6.9, 4)


@pytest.mark.parametrize("outcome", ["text 256", "kvpr 256", "late, raw"])
def test_one_training_has_no_interval(outcome: str) -> None:
    (found,) = groups_of(rows("a", [0.1], outcome, 100 if outcome == "kvpr 256" else None))
    assert found.mean == 0.1
    assert math.isnan(found.ci_low)
    assert math.isnan(found.ci_high)


def test_alike_shares_keep_the_width_of_their_questions() -> None:
    (none,) = groups_of(rows("a", [0.0, 0.0, 0.0], "kvpr 256", 100))
    assert none.ci_low == 0.0
    p = 1 / 102
    assert none.ci_high == pytest.approx(math.sqrt(p * (1 - p) / 100 / 3) * stats.t.ppf(0.975, 2))
    (all_right,) = groups_of(rows("a", [1.0, 1.0, 1.0], "kvpr 256", 100))
    assert all_right.ci_high == 1.0
    assert 0.9 < all_right.ci_low < 1.0


def test_contrasts_are_welchs_and_corrected_for_their_number() -> None:
    a, b, c = [6.0, 6.2, 6.1], [5.0, 5.3, 5.9], [6.0, 6.1, 6.3]
    found = contrasts_of([*rows("a", a), *rows("b", b), *rows("c", c)], "a")
    assert [(row.architecture, row.than_architecture, row.contrasts) for row in found] == [("b", "a", 2), ("c", "a", 2)]
    welch = stats.ttest_ind(b, a, equal_var=False).confidence_interval(1 - 0.05 / 2)
    assert (found[0].ci_low, found[0].ci_high) == pytest.approx((welch.low, welch.high))


def test_a_loss_is_compared_with_the_same_architecture_without_it() -> None:
    mine = grid()
    found = outcomes_of(
        mine.cells,
        [row for cell in mine.cells for row in cell_rows(cell)],
        [row for cell in mine.cells for row in layer_rows(cell)],
        [row for cell in mine.cells for row in path_rows(cell)],
    )
    assert {row.outcome for row in found} == set(OUTCOMES)
    pairs = {
        (row.architecture, row.loss, row.than_architecture, row.than_loss)
        for row in contrasts_of(found, mine.reference)
    }
    assert pairs == {
        ("attention", "none", "ssm", "none"),
        ("ssm", "apart", "ssm", "none"),
        ("attention", "apart", "attention", "none"),
    }
    values = {(row.subject, row.outcome): row.value for row in found}
    assert values["ssm:1", "kvpr 256"] == 14 / 400
    assert values["ssm:1", "kvpr 256, over training"] == pytest.approx(14 / 400 / 2)
    assert values["attention+apart:2", "late, raw"] == pytest.approx(0.22)
    assert values["attention+apart:2", "early, raw"] == pytest.approx(0.22 / 3)
    assert values["attention:0", "v_loc"] == pytest.approx(0.1)


def test_slopes_are_least_squares_on_doublings() -> None:
    sizes = [4, 4, 8, 8, 16, 32]
    values = [0.1, 0.12, 0.21, 0.19, 0.33, 0.38]
    cells = [
        Cell(f"d{size}-{place}", "none", 0, Architecture(family="llama", depth=size), Loss(), trained=False)
        for place, size in enumerate(sizes)
    ]
    outcomes = [
        OutcomeRow(cell.name, cell.architecture_name, "none", 0, False, "late, raw", value, None)
        for cell, value in zip(cells, values, strict=True)
    ]
    (found,) = slopes_of(outcomes, cells)
    line = stats.linregress(np.log2(sizes), values)
    reach = stats.t.ppf(0.975, len(sizes) - 2) * line.stderr
    assert found.slope == pytest.approx(line.slope)
    assert (found.ci_low, found.ci_high) == pytest.approx((line.slope - reach, line.slope + reach))
    assert (found.family, found.factor, found.levels, found.models) == ("llama", "depth", "4 8 16 32", 6)


def test_sizes_that_vary_together_make_no_slope() -> None:
    cells = [
        Cell(name, "none", 0, Architecture(family="llama", depth=depth, width=width), Loss(), trained=False)
        for name, depth, width in (("a", 4, 64), ("b", 8, 128), ("c", 16, 256))
    ]
    outcomes = [OutcomeRow(c.name, c.architecture_name, "none", 0, False, "late, raw", 0.1, None) for c in cells]
    assert slopes_of(outcomes, cells) == []


def test_trainings_that_agree_to_the_last_digit_tell_no_difference() -> None:
    (found,) = contrasts_of([*rows("a", [6.0, 6.0]), *rows("b", [5.0, 5.0])], "a")
    assert math.isnan(found.ci_low)
    assert findings_of(groups_of([*rows("a", [6.0, 6.0]), *rows("b", [5.0, 5.0])]), [found], []) == []
