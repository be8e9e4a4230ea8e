"""The light pens: small multiples, maps as pictures, tables as rows, texts as steps, colours on both themes."""

import base64
import io
import math
import re

import numpy as np
import pytest
from matplotlib import image

from repflow.drawing.multiples import Curve, Map
from repflow.drawing.style import BELOW_ZERO, CIVIDIS, DARK, SHADES, contrast, on_dark, on_light, rgb, styles
from repflow.drawing.svg import EDGE, HEIGHT, WIDTH, Axis, png, sparkline, thumbnail
from repflow.drawing.table import Group, Head, Heading, Line, Table, TableCell
from repflow.drawing.token_text import Channel, TokenText

NAN = math.nan
LOOKS = dict(zip("abcd", styles(["TBM", "SSM", "hybrid", "SSM"]), strict=True))
PLACES = {"a": 0, "b": 1, "c": 2, "d": 3}


def curve(subject: str, y: tuple[float, ...], spread: float = 0.1) -> Curve:
    n = len(y)
    x = tuple(i / (n - 1) for i in range(n))
    return Curve(subject, x, y, tuple(v - spread for v in y), tuple(v + spread for v in y), tuple(range(n)), "", "0.50")


def points(path: str) -> list[list[tuple[float, ...]]]:
    return [[tuple(map(float, p.split())) for p in run.split("L")] for run in path.strip("Mz").split("M")]


def test_a_line_goes_through_its_values_on_the_axis_of_the_row() -> None:
    own, other = curve("a", (0.0, 0.5, 1.0)), curve("b", (0.5, 2.0, 0.5))
    axis = Axis.over([own, other])
    assert (axis.low, axis.high) == (-0.1, 2.1)
    drawn = sparkline([own], [other], axis, LOOKS, PLACES)
    (line,) = points(re.findall(r'class="own" d="([^"]*)"', drawn)[0])
    for (x, y), value, depth in zip(line, own.y, own.x, strict=True):
        assert x == pytest.approx(EDGE + depth * (WIDTH - 2 * EDGE), abs=0.06)
        assert y == pytest.approx(HEIGHT - EDGE - (value + 0.1) / 2.2 * (HEIGHT - 2 * EDGE), abs=0.06)
    assert drawn.count('class="ghost"') == 1
    assert 'data-s="1"' in drawn
    assert ">0.50</span>" in drawn


def test_a_gap_parts_the_line_and_many_lines_have_no_bands() -> None:
    broken = curve("a", (0.1, 0.2, NAN, 0.3, 0.4))
    drawn = sparkline([broken], [], Axis.over([broken]), LOOKS, PLACES)
    assert len(points(re.findall(r'class="own" d="([^"]*)"', drawn)[0])) == 2
    assert drawn.count('class="band"') == 1
    several = [curve(name, (0.1, 0.2)) for name in "abcd"]
    drawn = sparkline(several, [], Axis.over(several), LOOKS, PLACES)
    assert 'class="band"' not in drawn
    assert "last" not in drawn, "no one value is the last of several"


def test_axes_may_be_logarithmic_or_whole() -> None:
    rising = curve("a", (1.0, 10.0, 100.0), spread=0.0)
    axis = Axis.over([rising], logarithmic=True)
    assert axis.y(10.0) == pytest.approx((axis.y(1.0) + axis.y(100.0)) / 2, abs=0.06)
    assert (Axis.over([curve("a", (0.4, 0.5))], whole=True).low, Axis.over([], whole=True).high) == (0.0, 1.0)


def test_a_map_is_a_pixel_a_cell_with_its_first_row_at_the_bottom() -> None:
    grid = [[1.0, 0.0], [-0.2, None], [0.5, NAN]]
    pixels = image.imread(io.BytesIO(png(grid)), format="png")
    assert pixels.shape[:2] == (3, 2)
    colours = np.round(pixels[..., :3] * 255).astype(int)
    assert tuple(colours[2, 0]) == rgb(CIVIDIS[-1])
    assert tuple(colours[2, 1]) == rgb(CIVIDIS[0])
    assert tuple(colours[1, 0]) == rgb(BELOW_ZERO)
    assert pixels[1, 1, 3] == pixels[0, 1, 3] == 0, "nothing where there is no value"
    assert base64.b64encode(png(grid)).decode() in thumbnail(Map("a", grid, ""))


@pytest.mark.parametrize("shade", [shade for kind in SHADES.values() for shade in kind])
def test_every_subject_is_legible_in_both_themes(shade: str) -> None:
    assert contrast(on_dark(shade), DARK) >= 4.5
    assert contrast(on_light(shade), "#ffffff") >= 4.5


def test_a_table_is_rows_of_texts() -> None:
    lines = (
        Line((TableCell("1.0", "[0.9, 1.1]"), TableCell("–")), Head("early")),
        Line((TableCell("2"), TableCell("x"))),
    )
    table = Table(
        ("subject", "third"), (Heading("a"), Heading("b")), (Group(lines, Head("one", "two steps")),), (("T", 2),)
    )
    assert list(table.rows) == [["one two steps", "early", "1.0 [0.9, 1.1]", "–"], ["one two steps", "2", "x"]]
    assert table.titles == ["subject", "third", "T a", "T b"]


def test_numbers_of_a_text_come_back_from_their_steps() -> None:
    values = np.array([[1.0, 10.0, 1000.0], [2.0, NAN, 4.0]])
    for logarithmic in (True, False):
        found = TokenText(
            ["a", "b", "c"], ["embed", "block.0"], [Channel("norm", values, logarithmic)], values > 5, ""
        ).packed()
        channel = found["channels"][0]
        steps = np.frombuffer(base64.b64decode(channel["steps"]), np.uint8).reshape(values.shape)
        assert steps[1, 1] == 255
        back = np.array(channel["low"])[:, None] + steps / 254 * np.array(channel["span"])[:, None]
        back = 10**back if logarithmic else back
        known = np.isfinite(values)
        np.testing.assert_allclose(
            back[known], values[known], rtol=0.02 if logarithmic else 1, atol=0 if logarithmic else 2.5
        )
        marked = np.unpackbits(np.frombuffer(base64.b64decode(found["marked"]), np.uint8))[:6].reshape(2, 3)
        np.testing.assert_array_equal(marked, values > 5)
