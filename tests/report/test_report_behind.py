"""An answer's rows are shown with their numbers."""

from pathlib import Path

from synthetic import TRIO, make_run

from repflow.report.behind import with_numbers
from repflow.report.reading import read
from repflow.studies.kit.study import Answer


def test_a_key_of_one_row_gets_its_numbers_and_any_other_stays(tmp_path: Path) -> None:
    source = read(make_run(tmp_path, TRIO[:1]))
    one = {
        "table": "layers", "subject": TRIO[0][0], "task": "text", "context": 512, "site": "block.3",
        "metric": "inter_token_cosine", "variant": "raw", "tokens": "all",
    }  # fmt: skip
    several = {key: value for key, value in one.items() if key != "site"}
    other = {"table": "shares", "third": "late"}
    given = Answer("so", "it is", rows=[one, several, other, {**one, "value": 5.0}])
    bare = Answer("nothing", "behind it")
    (answer, same) = with_numbers(source, [given, bare])
    assert same is bare
    layers = source.layers
    row = layers[
        (layers["site"] == "block.3") & (layers["metric"] == "inter_token_cosine") & (layers["variant"] == "raw")
        & (layers["tokens"] == "all")
    ].iloc[0]  # fmt: skip
    numbers = {name: row[name] for name in ("value", "ci_low", "ci_high", "n_examples")}
    assert list(answer.rows) == [{**one, **numbers}, several, other, {**one, "value": 5.0}]
