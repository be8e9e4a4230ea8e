"""Names that are not what they seem: nothing in them runs, steers or turns a line round, and no number changes."""

import base64
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from page_kit import unpacked
from probe_run import THREE, write_probe_run
from synthetic import TRIO, make_run

from repflow.drawing.labels import plain
from repflow.drawing.latex import latex
from repflow.report import write_figures, write_report
from repflow.report.run import Run

NAMES = (
    "=HYPERLINK(1)<img src=x onerror=alert(1)>",
    "-x\x1b]0;owned\x07\u202egnp.exe",
    "+{{7*7}}</script>\\input{x}$&%#_^~--\u2028",
)
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def page_of(path: Path) -> str:
    """The page, and in the open what it carries packed."""
    text = path.read_text(encoding="utf-8")
    return text + json.dumps(unpacked(text), ensure_ascii=False)


def tables(page: str) -> list[pd.DataFrame]:
    """The CSV files that the page carries."""
    found = re.findall(r"data:text/csv[^,]*;base64,([A-Za-z0-9+/=]+)", page)
    return [pd.read_csv(io.BytesIO(base64.b64decode(data))) for data in found]


def texts(frame: pd.DataFrame) -> list[str]:
    return [cell for name in frame for cell in [name, *frame[name]] if isinstance(cell, str)]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    subjects = [(name, *subject[1:5], None) for name, subject in zip(NAMES, THREE, strict=True)]
    return write_probe_run(tmp_path_factory.mktemp("probed") / "run", subjects, places=("last",))


@pytest.fixture(scope="module")
def pages(probed: Run, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pages")
    subjects = [(name, *subject[1:]) for name, subject in zip(NAMES, TRIO, strict=True)]
    measured = make_run(folder, subjects)
    measured.info["warnings"] = [f"{NAMES[1]}: rough"]
    measured.findings.append({"id": "signature", "subject": NAMES[1], "claim": NAMES[0], "verdict": NAMES[2]})
    return [page_of(write_report(run, folder / f"{n}.html")) for n, run in enumerate((measured, probed))]


def test_the_page_shows_names_and_runs_none(pages: list[str]) -> None:
    for page in pages:
        assert STEERING.search(page) is None
        assert "<img" not in page.split("</html>")[0]
        assert r"\u202egnp.exe" in page.replace("\\\\", "\\"), "it is shown, not dropped"


def test_the_tables_of_the_page_compute_nothing(pages: list[str], probed: Run) -> None:
    for page in pages:
        assert tables(page)
        for cell in (cell for frame in tables(page) for cell in texts(frame)):
            assert not cell.lstrip().startswith(("=", "+", "-", "@"))
            assert STEERING.search(cell) is None
    whole = next(frame for frame in tables(pages[1]) if "peak_low" in frame)
    numbers = list(whole.select_dtypes("number"))
    stored = probed.table("probe_summary")
    assert len(numbers) > 10
    pd.testing.assert_frame_equal(whole[numbers], stored[numbers], check_dtype=False, check_exact=True)


def test_the_files_for_papers(probed: Run, tmp_path: Path) -> None:
    files = {path.name: path for path in write_figures(probed, ("svg",), tmp_path)}
    table = files["probe_table.tex"].read_text()
    assert STEERING.search(table) is None
    rows = [row for row in table.splitlines() if row.endswith(r"\\")]
    assert all(row.count(" & ") == 6 for row in rows)
    assert r"\input" not in table
    assert all(STEERING.search(path.read_text()) is None for path in files.values())
    for cell in texts(pd.read_csv(files["probe_table.csv"])):
        assert not cell.startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("[x]*", "{[}x{]}{*}"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a_b & 5% #1 $x^2$ ~", r"a\_b \& 5\% \#1 \$x\textasciicircum{}2\$ \textasciitilde{}"),
        ("\x1b[0m\u202e", "U+001B{[}0mU+202E"),
        ("one\ntwo", "one two"),
    ],
)
def test_latex_sets_a_text_literally(text: str, set_as: str) -> None:
    assert latex(text) == set_as


def test_figures_show_escapes() -> None:
    assert plain("a\x1b$b\u202e") == r"a\x1b\$b\u202e"
