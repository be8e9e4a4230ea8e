"""Figures: what is drawn equals the rows, and stays readable without colour."""

import itertools

import numpy as np
import pytest
from synthetic import TRIO, make_run

from repflow.core import BadSetting, NotEnoughData, UnknownName
from repflow.drawing.labels import estimate, number, short_label, short_labels
from repflow.drawing.style import SHADES, rgb, styles
from repflow.report import Plots, write_figures


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def rows(run, subject, metric="inter_token_cosine", variant="raw", tokens="all"):
    frame = run.layers
    wanted = (frame["subject"] == subject) & (frame["metric"] == metric) & (frame["variant"] == variant)
    return frame[wanted & (frame["tokens"] == tokens)].sort_values("site_index")


def traces(figure, ending):
    return [t for t in figure.data if (t.uid or "").endswith(ending)]


def test_final_norm_is_apart_from_the_blocks(run):
    figure = Plots(run).inter_token_cosine()
    for line, final, tie, subject in zip(
        traces(figure, "-line"), traces(figure, "-final"), traces(figure, "-tie"), TRIO, strict=True
    ):
        sites = [details[0] for details in line.customdata]
        assert sites == ["embed", *(f"block.{i}" for i in range(subject[3]))]
        assert max(line.x) == 1
        assert final.mode == "markers"
        assert final.x[0] > 1.05
        assert tie.line.dash == "dot"
        assert tuple(tie.x) == (1.0, final.x[0])
    assert "final" in figure.layout.xaxis.ticktext[-1]


def test_bands_are_the_interval_columns(run):
    figure = Plots(run).inter_token_cosine(tokens="no_sink")
    for subject, low, high, line in zip(
        TRIO, traces(figure, "-low"), traces(figure, "-high"), traces(figure, "-line"), strict=True
    ):
        blocks = rows(run, subject[0], tokens="no_sink").query("site != 'final_norm'")
        np.testing.assert_allclose(low.y, blocks["ci_low"], rtol=1e-4)
        np.testing.assert_allclose(high.y, blocks["ci_high"], rtol=1e-4)
        np.testing.assert_allclose(line.y, blocks["value"], rtol=1e-4)
        assert high.fill == "tonexty"


def test_a_missing_interval_splits_the_band(tmp_path):
    broken = make_run(tmp_path, TRIO[:1])
    hole = (broken.layers["metric"] == "inter_token_cosine") & (broken.layers["site"] == "block.4")
    broken.layers.loc[hole, ["ci_low", "ci_high"]] = np.nan
    low = traces(Plots(broken).inter_token_cosine(), "-low")
    assert [len(t.x) for t in low] == [5, 7]


def test_adjacent_cosine_starts_after_embed(run):
    line = traces(Plots(run).adjacent_cosine(), "-line")[0]
    assert line.customdata[0][0] == "block.0"


def test_norms_are_logarithmic_and_linear_where_they_cannot_be(run, tmp_path):
    assert Plots(run).norms(variant="max").layout.yaxis.type == "log"
    flat = make_run(tmp_path, TRIO[:1])
    flat.layers.loc[flat.layers["metric"] == "norm", ["value", "ci_low", "ci_high"]] = 0.0
    assert Plots(flat).norms().layout.yaxis.type != "log"


def test_cka_cells_are_square_and_symmetric(run):
    figure = Plots(run).cka(TRIO[0][0])
    assert figure.layout.yaxis.scaleanchor == "x"
    assert figure.layout.yaxis.scaleratio == 1
    heat = figure.data[0]
    assert heat.x == heat.y
    assert list(heat.x[:2]) == ["embed", "block.0"]
    assert list(heat.x[-3:]) == ["block.11", " ", "final_norm"]
    z = np.array(heat.z, dtype=float)
    np.testing.assert_array_equal(z, z.T)
    assert np.isnan(z[-2]).all()
    frame = run.pairs.query("subject_a == subject_b and variant == 'token' and tokens == 'all' and site_a == 'block.2'")
    value = frame[(frame["subject_a"] == TRIO[0][0]) & (frame["site_b"] == "block.7")]["value"].item()
    assert z[3, 8] == pytest.approx(value, abs=1e-4)


def test_values_below_zero_are_kept_and_marked(run):
    heat = Plots(run).cka(TRIO[0][0]).data[0]
    signs = np.array(heat.text)
    below = np.array(heat.z, dtype=float) < 0
    assert below.any()
    np.testing.assert_array_equal(signs == "−", below)
    assert (heat.zmin, heat.zmax) == (-0.05, 1)


def test_undefined_cells_are_blank_and_say_so(tmp_path):
    broken = make_run(tmp_path, TRIO[:1])
    alike = (broken.pairs["site_a"] == "embed") & (broken.pairs["variant"] == "token")
    broken.pairs.loc[alike, ["value", "ci_low", "ci_high"]] = np.nan
    heat = Plots(broken).cka().data[0]
    z = np.array([[np.nan if v is None else v for v in row] for row in heat.z], dtype=float)
    assert np.isnan(z[0]).all()
    assert np.isfinite(z[1, 1])
    assert heat.hoverongaps
    assert "undefined" in heat.customdata[0][3]
    assert heat.customdata[1][1].startswith("1.0000  [")
    broken.pairs["value"] = np.nan
    assert write_figures(broken, ("svg",))


def test_maps_of_two_models_have_one_size(run):
    drawn = [Plots(run).cka(a[0], b[0]).layout for a, b in itertools.combinations(TRIO, 2)]
    assert len({figure.height for figure in drawn}) == 1
    assert drawn[0].yaxis.scaleratio == 1
    assert (drawn[0].yaxis.title.text, drawn[0].xaxis.title.text) == (TRIO[0][0], TRIO[1][0])


def test_updates_are_drawn_on_a_logarithmic_axis(run):
    assert Plots(run).update_ratio().layout.yaxis.type == "log"


def test_a_misspelt_choice_is_an_error(run):
    with pytest.raises(TypeError, match="taks"):
        Plots(run).norms(taks="text")


def test_cka_across_models_either_way_round(run):
    a, b = TRIO[0][0], TRIO[1][0]
    there, back = (Plots(run).cka(*pair, metric="cka_calibrated").data[0] for pair in ((a, b), (b, a)))
    assert len(there.y) == 15
    assert len(there.x) == 27
    np.testing.assert_array_equal(np.array(there.z, dtype=float), np.array(back.z, dtype=float).T)


def test_offset_profile_orders_distances(run):
    heat = Plots(run).offset_profile(TRIO[1][0]).data[0]
    assert list(heat.y) == ["1", "2", "4", "8", "16", "32", "64", "128"]


def test_paths_draws_every_subject_and_metric(run):
    figure = Plots(run).paths()
    assert len(figure.data) == 3 * (6 + 4)


def test_what_is_not_there_is_named(run):
    plots = Plots(run)
    with pytest.raises(UnknownName, match="known: text"):
        plots.norms(task="txt")
    with pytest.raises(UnknownName, match="pythia"):
        plots.cka("pythia")
    with pytest.raises(UnknownName, match="median"):
        plots.norms(variant="medain")
    with pytest.raises(NotEnoughData, match="text at 512"):
        plots.norms(context=7)
    with pytest.raises(NotEnoughData, match="no rows for metric nothing"):
        plots.layers("nothing")
    assert {"cka", "paths", "norms", "offset_profile", "adjacent_cosine", "inter_token_cosine"} <= set(dir(plots))


def lightness(colour: str) -> float:
    """CIE L* of a colour in 0..100: what is left of it in grey print."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(colour))]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_kinds_and_subjects_stay_apart_in_grey():
    first = [lightness(shades[0]) for shades in SHADES.values()]
    assert min(abs(a - b) for a, b in itertools.combinations(first, 2)) > 7
    for shades in SHADES.values():
        assert min(abs(a - b) for a, b in itertools.combinations(map(lightness, shades), 2)) > 5
        assert max(map(lightness, shades)) < 75


def test_no_two_of_eight_subjects_look_the_same():
    found = styles(["TBM"] * 4 + ["SSM"] * 2 + ["hybrid", "made up"])
    assert len({(s.dash, s.marker, s.hollow) for s in found}) == 8
    assert len({s.dash for s in styles(list(SHADES))}) == len(SHADES) == 6


def test_figure_files(run, tmp_path):
    first = write_figures(run, ("pdf", "png"), tmp_path / "a")
    names = {p.name for p in first}
    assert {"inter_token_cosine_text-512.pdf", "adjacent_cosine_text-512.png", "paths_wide_text-512.pdf"} <= names
    assert sum(name.startswith("cka_") for name in names) == 2 * len(TRIO)
    assert all(p.stat().st_size > 2000 for p in first)
    again = write_figures(run, ("pdf",), tmp_path / "b")
    assert {p.name for p in again} == {name for name in names if not name.endswith(".png")}
    for path in again:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(names)


def test_one_panel_another_variant_policy_and_width(run, tmp_path):
    wanted = {"only": "inter_token_cosine", "variant": "standardised", "tokens": "all", "width_mm": 120}
    written = write_figures(run, ("svg",), tmp_path, **wanted)
    assert [p.name for p in written] == ["inter_token_cosine_standardised_all_text-512.svg", "captions.md"]
    assert 'width="340.15' in written[0].read_text()
    told = written[1].read_text()
    assert "standardised, tokens: all" in told
    assert "95% intervals" in told


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"only": "inter_token_cosin"}, "did you mean inter_token_cosine"),
        ({"variant": "rawest"}, "unknown variant 'rawest'"),
        ({"tokens": "nosink"}, "did you mean no_sink"),
        ({"width_mm": 3}, "--width-mm must be 40 to 400, got 3"),
    ],
)
def test_what_a_run_has_not_is_named(run, tmp_path, wanted, said):
    with pytest.raises((UnknownName, BadSetting), match=said):
        write_figures(run, ("svg",), tmp_path / "none", **wanted)
    assert not (tmp_path / "none").exists()


def test_every_panel_of_the_page_is_a_figure_of_the_notebook(run):
    plots = Plots(run)
    assert {"offset_profile", "cross_cka", "sequence_curvature"} <= set(dir(plots))
    for name in dir(plots):
        if name not in (
            "layers",
            "training",
            "training_map",
            "probes",
            "attribution",
            "influence",
            "lab_outcome",
            "lab_training",
        ):
            assert getattr(plots, name)().data, name
    with pytest.raises(AttributeError, match="did you mean offset_profile"):
        plots.offset_profil()


def test_figure_files_with_odd_names(tmp_path):
    odd = make_run(tmp_path, (("_a$b$_<x>", "f", "TBM", 2, "trained"),), scenes=(("../up", 8),))
    written = write_figures(odd, ("png",))
    assert {p.parent for p in written} == {tmp_path / "figures"}


def test_unknown_formats_are_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(BadSetting, match="pdf, png, svg"):
        write_figures(run, ("gif",), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_short_labels():
    assert short_label("EleutherAI/pythia-160m@init=normal:0") == "pythia-160m · normal:0"
    assert short_label("zoo:smollm2-135m") == "smollm2-135m"
    assert short_label("config:gpt_neox,width=768,layers=12,tokenizer=zoo:smollm2-135m") == "gpt_neox 768×12"
    assert short_labels(["a/m", "b/m", "n"]) == ["a/m", "b/m", "n"]
    assert short_labels(["seed1/x/model", "seed2/x/model", "seed2/y/model"]) == [
        "seed1/x/model",
        "seed2/x/model",
        "y/model",
    ]
    assert short_labels(["zoo:x", "runs/x", "n"]) == ["x", "runs/x", "n"]
    assert short_labels(["m", "m"]) == ["m (1)", "m (2)"]
    assert len(short_label("x" * 200)) == 30


@pytest.mark.parametrize(
    ("value", "low", "high", "wanted"),
    [
        (0.98123, 0.98051, 0.98212, ("0.9812", "[0.9805, 0.9821]")),
        (1.5, float("nan"), float("nan"), ("1.50", "")),
        (float("nan"), 0.0, 1.0, ("–", "")),
        (0.00041, 0.00035, 0.00047, ("4.10×10⁻⁴", "[3.50, 4.70]")),
        (0.0, 0.0, 0.0, ("0.00", "[0.00, 0.00]")),
        (22000.0, 21000.0, 23000.0, ("2.20×10⁴", "[2.10, 2.30]")),
    ],
)
def test_estimates_read_well(value, low, high, wanted):
    assert estimate(value, low, high) == wanted


def test_numbers_read_well():
    assert [number(x) for x in (0.12345, 22000, 3e-7, 1e7, None, 0)] == [
        "0.123",
        "22,000",
        "3.00×10⁻⁷",
        "1.00×10⁷",
        "–",
        "0",
    ]
