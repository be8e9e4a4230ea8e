"""The pen for papers: marks, axes and texts are those of the page's figure; what it does not know it refuses."""

import io

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex

from repflow.drawing.paper import TWO_COLUMNS, drawn, legend_of, look
from repflow.drawing.paper_marks import colour, said
from repflow.drawing.plotly import axis, figure, trace

BLUE = "#0072b2"


def line(**more):
    style = {"color": BLUE, "dash": "dash", "width": 2}
    mark = {"symbol": "diamond", "size": 5, "color": "#fff", "line": {"color": BLUE, "width": 1.5}}
    given = {"x": [0, 1, None, 3], "y": [1, 2, None, 4], "mode": "lines+markers", "line": style, "marker": mark}
    return trace("scatter", **{"name": "one"} | given | more)


def lines_of(fig):
    return [drawn_line for axes in fig.axes for drawn_line in axes.get_lines()]


def test_a_line_has_its_points_gaps_colour_and_marker():
    fig = drawn(figure(300, [line()], xaxis=axis("across"), yaxis=axis("up")))
    (found,) = lines_of(fig)
    np.testing.assert_array_equal(found.get_xdata(), [0, 1, np.nan, 3])
    np.testing.assert_array_equal(found.get_ydata(), [1, 2, np.nan, 4])
    assert found.get_color() == BLUE
    assert found.get_marker() == "D"
    assert found.get_markerfacecolor() == "#fff"
    assert found.get_linestyle() == "--"
    assert (fig.axes[0].get_xlabel(), fig.axes[0].get_ylabel()) == ("across", "up")
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["one"]


def test_a_band_lies_between_its_edges():
    flat = {"mode": "lines", "line": {"width": 0, "color": BLUE}, "fillcolor": "rgba(0,0,255,0.2)"}
    edges = [trace("scatter", x=[0, 1], y=y, fill=f, **flat) for y, f in (([1, 2], None), ([3, 5], "tonexty"))]
    fig = drawn(figure(300, edges, xaxis=axis(""), yaxis=axis("")))
    (band,) = fig.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1, 5)
    assert band.get_facecolor()[0] == pytest.approx((0, 0, 1, 0.2))
    assert not fig.legends, "no trace has a name"


def test_error_bars_reach_both_ends():
    bars = {"array": [0.5], "arrayminus": [0.25], "color": BLUE, "thickness": 1.4, "width": 4}
    fig = drawn(figure(300, [line(x=[1], y=[2], mode="markers", error_y=bars)], xaxis=axis(""), yaxis=axis("")))
    (stroke,) = [c for c in fig.axes[0].collections if hasattr(c, "get_segments")]
    np.testing.assert_allclose(stroke.get_segments()[0], [[1, 1.75], [1, 2.5]])


def test_axes_keep_range_scale_and_ticks():
    across = axis("tokens", type="log", range=[0, 2], tickvals=[1, 10, 100], ticktext=["one", "ten", "hundred"])
    up = axis("share", rangemode="tozero")
    fig = drawn(figure(300, [line(x=[1, 10, 100, 100], y=[5, 6, 7, 8])], xaxis=across, yaxis=up))
    axes = fig.axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (1, 100)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["one", "ten", "hundred"]
    assert axes.get_ylim()[0] == 0


def heatmap(**more):
    given = {"x": ["a", "b"], "y": ["c", "d"], "z": [[0, 1], [None, 0.5]], "zmin": 0, "zmax": 1}
    return trace("heatmap", colorscale=[[0, "#000000"], [1, "#ffffff"]], **given | more)


def test_a_map_has_its_cells_where_the_categories_are():
    names = {"type": "category", "showgrid": False}
    fig = drawn(figure(300, [heatmap()], xaxis=axis("", **names), yaxis=axis("", **names)))
    (mesh,) = [c for c in fig.axes[0].collections if isinstance(c, QuadMesh)]
    cells = np.ma.getdata(mesh.get_array()), np.ma.getmaskarray(mesh.get_array())
    np.testing.assert_array_equal(cells[1], [[False, False], [True, False]])
    assert [to_hex(mesh.cmap(mesh.norm(v))) for v in (0, 1)] == ["#000000", "#ffffff"]
    assert [text.get_text() for text in fig.axes[0].get_yticklabels()] == ["c", "d"]
    assert len(fig.axes) == 2, "and a colour bar"


def test_panels_side_by_side_take_both_columns():
    two = [line(), line(xaxis="x2", yaxis="y2", showlegend=False)]
    axes = {f"{w}axis{n}": axis("", domain=d) for n, d in (("", [0, 0.45]), ("2", [0.55, 1])) for w in "xy"}
    note = {"text": "left", "x": 0.2, "y": 1, "xref": "paper", "yref": "paper", "showarrow": False}
    fig = drawn(figure(300, two, annotations=[note], **axes))
    assert fig.get_size_inches()[0] == pytest.approx(TWO_COLUMNS / 25.4)
    left, right = fig.axes
    assert left.get_position().x1 < right.get_position().x0
    assert [text.get_text() for text in fig.texts] == ["left"]


def test_every_name_stands_once_in_the_legend_and_ranks_order_it():
    shown = [line(name="b", legendgroup="b"), line(name="b", legendgroup="b"), line(name="a", legendrank=1)]
    hidden = [line(name="c", showlegend=False), line(name=None)]
    assert [name for _, name in legend_of([*shown, *hidden])] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("final<br>norm", "final\nnorm"),
        ("h<sub>t</sub> &lt; 1", "ht < 1"),
        ("costs $5 and $x^2$", r"costs \$5 and \$x^2\$"),
        ("_hidden", " _hidden"),
    ],
)
def test_texts_are_literal(text, shown):
    assert said(text) == shown


def test_colours_of_the_page():
    assert colour("#123456") == "#123456"
    assert colour("rgba(255, 0, 51, 0.5)") == pytest.approx((1, 0, 0.2, 0.5))


@pytest.mark.parametrize(
    ("spec", "said_of_it"),
    [
        (figure(300, [trace("bar", x=[1], y=[1])]), "a trace of type bar"),
        (figure(300, [line(fill="toself")]), "a fill toself"),
        (figure(300, [line()], shapes=[{"type": "rect"}]), "a shape of type rect"),
        (figure(300, [line()], annotations=[{"text": "x", "x": 1, "y": 1}]), "a text that stands at data"),
        (figure(300, [line(marker={"symbol": "hourglass"})]), "hourglass"),
    ],
)
def test_what_it_cannot_draw_is_refused(spec, said_of_it):
    with pytest.raises((ValueError, KeyError), match=said_of_it):
        drawn(spec)


def test_the_same_figure_has_the_same_bytes():
    def saved():
        stream = io.BytesIO()
        with look():
            fig = drawn(figure(300, [line()], xaxis=axis(""), yaxis=axis("")))
            fig.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        return stream.getvalue()

    assert saved() == saved()
