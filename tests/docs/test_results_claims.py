"""The table of claims in docs/results.md names the numbers of the runs, and no others."""

import re

import pytest
from zoo_claims import MAMBA2, NAMED, SIX, TWELVE, facts, falls, settles
from zoo_results import PAGE, summary, third
from zoo_tables import LAST, LATE, adjacent, frame, path, read

ROWS = {line[2:4]: line for line in PAGE.splitlines() if re.match(r"\| [A-F]\d ", line)}
VERDICTS = ("**holds**", "**fails**", "**undecided**", "**not testable here**")


def ends(estimate: str) -> tuple[float, float]:
    low, high = re.findall(r"-?\d+\.\d+", estimate)[-2:]
    return float(low), float(high)


def test_every_claim_has_a_row_with_a_verdict_and_what_would_overturn_it() -> None:
    assert list(ROWS) == ["A1", "A2", "B1", "B2", "C1", "C2", "C3", "D1", "D2", "D3", "E1", "E2", "F1"]
    for row in ROWS.values():
        assert any(verdict in row for verdict in VERDICTS)
        cells = row.strip("|").split(" | ")
        assert len(cells) == 4
        assert all(cell.strip() for cell in cells)


@pytest.mark.parametrize("claim", NAMED)
def test_its_numbers_are_the_runs(claim: str) -> None:
    row, known = ROWS[claim].split(" | ")[1], facts()
    for name in NAMED[claim].split():
        assert known[name] in row, name
        row = row.replace(known[name], "", 1)
    assert not re.search(r"\d\.\d|\d%", row)


def test_the_verdicts_follow_from_them() -> None:
    known = {name: ends(told) for name, told in facts().items() if "[" in told}
    assert known["falls_six"][0] > 0
    assert all(falls(subject) > 0 for subject in SIX)
    assert known["settles_mamba2"][0] > 0
    assert known["settles_six"][0] < 0 < known["settles_six"][1]
    assert all(settles(subject) > 0 for subject in MAMBA2)
    assert all(adjacent(subject, LAST) < adjacent(subject, LATE) for subject in MAMBA2)
    assert min(third(s, "early", "raw") for s in SIX) > max(third(s, "early", "raw") for s in MAMBA2)
    assert known["rise_mamba2"][1] < 0
    for metric in ("path_energy", "v_glob"):
        mine, theirs = ([path(s, metric, "rms") for s in subjects] for subjects in (MAMBA2, SIX))
        assert min(mine) < max(theirs)
        assert min(theirs) < max(mine)
    assert known["grow_attention"][1] < 3
    assert (frame("dynamics", "bounds")["ratio"] >= 1).all()


def test_probes_fall_at_the_end_of_the_gold_and_nowhere_else() -> None:
    falling = [subject for subject in TWELVE if summary(subject, "gold")["gap_low"] > 0]
    assert f"in {len(falling)} of 12, all but the hybrid's" in ROWS["E1"]
    assert falling == [subject for subject in TWELVE if "hybrid" not in subject]
    assert all(read(subject)["gap_low"] < 0 for subject in TWELVE)
