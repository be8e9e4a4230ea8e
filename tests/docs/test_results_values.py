"""docs/results.md says of the value what the shipped run of three trainings says."""

import pytest
from zoo_results import PAGE, PROSE, RETRIEVE, TRANSFORMERS, trainings
from zoo_tables import ALONE, first_block, read, run_of, sites_of, value_table

TWELVE = [subject for name in RETRIEVE for subject in trainings(name)]


def test_the_table_is_the_run() -> None:
    assert "\n".join(value_table()) in PAGE


def test_what_is_guessing() -> None:
    value = read("zoo:pythia-tiny")
    assert f"chance is {100 * value['chance']:.0f}%" in PROSE
    assert f"naming the value at one place {100 * value['majority']:.0f}%" in PROSE
    assert value["n_examples"] == 1000
    assert value["n_groups"] == 200


def test_each_holds_the_value_and_no_middle_layer_beats_the_last() -> None:
    found = [read(subject) for subject in TWELVE]
    assert all(row["verdict"] == "above chance" for row in found)
    low, high = (100 * end(row["highest"] for row in found) for end in (min, max))
    assert f"between {low:.0f} and {high:.0f}% at its best site" in PROSE
    assert all(row["gap_low"] <= 0 <= row["gap_high"] for row in found)
    most = 100 * max(row["gap"] for row in found)
    assert f"at most {most:.1f} points are lost" in PROSE
    assert f"at most by {most:.1f} points" in PAGE
    assert all(read(f"zoo:{name}")["verdict"] == "not above chance" for name in ALONE)


def test_where_it_appears() -> None:
    found = [first_block(subject) for name in TRANSFORMERS for subject in trainings(name)]
    assert f"(blocks {min(found)} to {max(found)})" in PROSE
    assert {first_block(subject) for subject in trainings("hybrid-tiny")} == {8}
    assert run_of("values").subjects[3]["label"] == "zoo:hybrid-tiny"
    assert run_of("values").subjects[3]["mixers"][7:9] == ["SSM", "attention"]
    first, second, third = (first_block(subject) for subject in trainings("mamba2-tiny"))
    assert f"after blocks {first}, {second} and {third}" in PROSE
    told = (
        f"after blocks {min(found)} to {max(found)} of the Transformers, {first}, {second} and {third} of mamba2-tiny"
    )
    assert told in PAGE
    for subject in TWELVE:
        by_lens, by_readout = first_block(subject, "lens"), first_block(subject)
        assert by_lens is not None
        assert by_readout is not None
        assert by_lens - by_readout in (0, 1)
        last = sites_of(subject).loc["block.11"]
        assert last["lens"] > last["accuracy"] - 0.02


def test_one_token_earlier() -> None:
    above = [subject for subject in TWELVE if read(subject, "last")["verdict"] == "above chance"]
    assert above == ["seed1/mamba2-tiny/model"]
    known = read(above[0], "last")
    assert known["peak_site"] == "block.11"
    assert f"reads {100 * known['peak']:.0f}% at `last`" in PROSE


@pytest.mark.parametrize("place", ["ask", "last"])
def test_the_place_beside_it(place: str) -> None:
    found = {subject: read(subject, place, "position") for subject in TWELVE}
    above = {subject: row for subject, row in found.items() if row["verdict"] == "above chance"}
    if place == "ask":
        assert len(above) == 11
        low, high = (100 * end(row["peak"] for row in above.values()) for end in (min, max))
        assert f"at {low:.0f} to {high:.0f}%" in PROSE
    else:
        assert list(above) == ["seed2/mamba2-tiny/model"]
        row = above["seed2/mamba2-tiny/model"]
        told = [f"{100 * row[name]:.1f}" for name in ("peak", "peak_low", "peak_high")]
        assert "{}% [{}, {}]".format(*told) in PROSE
