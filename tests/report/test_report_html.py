"""The HTML report: self-contained, escaped, whole, and tolerant of what is missing."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from page_kit import panels, unpacked
from synthetic import TRIO, make_run

from repflow.core import BadFile
from repflow.report import write_figures, write_report

NASTY = "<img src=x onerror=alert(1)>"
SMALL = (("EleutherAI/pythia-160m", "gpt_neox", "TBM", 3, "trained"), (NASTY, "mamba", "SSM", 2, "normal:0"))


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        (self.scripts if self.elements and self.elements[-1][0] == "script" else self.texts).append(data)


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch, request):
    """Plotly's own 5 MB are left out except where a browser runs them."""
    if "browser" not in request.node.name:
        monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")


def page(run):
    return Elements(write_report(run).read_text(encoding="utf-8"))


def data(run):
    """The views of every panel, and everything that the page carries packed, as text."""
    text = write_report(run).read_text(encoding="utf-8")
    return panels(text), json.dumps(unpacked(text), ensure_ascii=False)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with two scenes and its page, parsed once."""
    run = make_run(tmp_path_factory.mktemp("made"), SMALL, scenes=(("text", 64), ("kvpr", 128)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")
        return page(run), data(run)[0]


def test_written_beside_the_run_or_where_asked(run, tmp_path):
    assert write_report(run) == tmp_path / "report.html"
    assert write_report(run, tmp_path / "a" / "b.html").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "report.html"]


def test_nothing_is_loaded_from_elsewhere(made):
    found = made[0].elements
    loads = [(t, a[k]) for t, a in found for k in ("src", "href", "data", "poster", "srcset") if a.get(k)]
    assert all(value.startswith(("#", "data:")) for _, value in loads), loads
    policy = [a["content"] for t, a in found if t == "meta" and "http-equiv" in a]
    assert policy
    assert "default-src 'none'" in policy[0]
    assert not [t for t, _ in found if t in ("link", "iframe", "object", "embed", "base")]


def test_names_with_html_stay_text(run):
    run.info["warnings"] = [f"{NASTY} was odd"]
    run.findings.append({"id": "x", "subject": NASTY, "claim": NASTY, "value": 0.5, "interval": [0.4, 0.6]})
    found = page(run)
    assert "img" not in {tag for tag, _ in found.elements}
    assert NASTY in "".join(found.texts)


def test_a_script_end_in_a_task_name_does_not_end_the_script(tmp_path):
    run = make_run(tmp_path, SMALL, scenes=(("</script><img src=x>", 64),))
    text = write_report(run).read_text(encoding="utf-8")
    assert "</script><img" not in text
    assert data(run)[0]
    assert "img" not in {tag for tag, _ in page(run).elements}


def test_plotly_sees_names_escaped(run):
    found, _ = data(run)
    traces = [t for p in found.values() for v in p for f in v["figures"] if f for t in f["data"]]
    strings = json.dumps([[t.get(k) for k in ("name", "meta", "x", "y", "hovertemplate")] for t in traces])
    assert "&lt;img src=x onerror=alert(1)&gt;" in strings
    assert NASTY not in json.dumps(found)
    drawn = unpacked(write_report(run).read_text(encoding="utf-8"))["overview"]
    markup = [cell[0] for row in drawn for state in row for cell in state["cells"] if cell]
    assert markup
    assert not [text for text in markup if "<img" in text], "the script sets it as HTML"


def test_every_panel_of_the_page_has_its_data_and_the_reverse(made):
    parsed, found = made
    panels = [a["data-panel"] for _, a in parsed.elements if "data-panel" in a]
    assert sorted(panels) == sorted(found)
    assert len(panels) == len(set(panels))
    anchors = [a["href"][1:] for t, a in parsed.elements if t == "a" and a.get("href", "").startswith("#")]
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert set(anchors) <= set(ids)
    assert len(ids) == len(set(ids))


def test_plotly_accepts_every_figure(made):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for place in made[1].values():
        for drawn in filter(None, place[-1]["figures"]):
            assert graph_objects.Figure(drawn)


def test_policies_and_variants_are_offered(made):
    _, found = made
    views = next(p for key, p in found.items() if key.endswith("inter_token_cosine"))
    assert [(v["tokens"], v["choice"]) for v in views if v["scene"] == 0] == [
        ("no_sink", "raw"), ("all", "raw"), ("no_sink", "standardised"), ("all", "standardised"),
    ]  # fmt: skip


def test_says_what_was_run(made):
    text = "".join(made[0].texts)
    for words in (
        "1 Transformer, 1 untrained state-space model",
        "134.5 M parameters each",
        "seed 0",
        '"transformers": "5.23.0"',
        "text at 64 tokens; kvpr at 128 tokens",
        "1 warning",
    ):
        assert words.lower() in text.lower()
    assert "CUDA kernels" in text


@pytest.mark.parametrize("gone", ["layers", "pairs", "paths"])
def test_missing_frames_leave_the_rest(run, gone):
    found, _ = data(replace(run, **{gone: None}))
    assert found
    empty = getattr(run, gone).iloc[:0]
    assert data(replace(run, **{gone: empty}))[0].keys() == found.keys()


def test_an_empty_run_says_so(tmp_path):
    run = make_run(tmp_path, SMALL[:1])
    bare = replace(run, layers=None, pairs=None, paths=pd.DataFrame(), info={}, findings=None)
    assert "No rows" in "".join(page(bare).texts)


def test_missing_values_and_intervals_are_drawn_as_gaps(run):
    for frame in (run.layers, run.pairs, run.paths):
        frame.loc[frame.index[::3], ["ci_low", "ci_high"]] = np.nan
        frame.loc[frame.index[::5], "value"] = np.nan
    _, text = data(run)
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_single_site_and_subject(tmp_path):
    run = make_run(tmp_path, SMALL[:1], policies=("all",))
    run.layers = run.layers[run.layers["site"] == "block.1"]
    run.pairs = run.pairs[(run.pairs["site_a"] == "block.1") & (run.pairs["site_b"] == "block.1")]
    assert data(run)[0]


def test_long_specs_are_short_in_legends_and_whole_in_the_table(tmp_path):
    label = TRIO[2][0]
    run = make_run(tmp_path, ((label, "falcon_h1", "hybrid", 2, "normal:0"),))
    found, _ = data(run)
    names = {t["name"] for p in found.values() for v in p for f in v["figures"] if f for t in f["data"] if "name" in t}
    assert names == {"falcon_h1 768×16 · normal:0"}
    assert label in "".join(page(run).texts)


def test_sites_of_the_hidden_states_list_are_named_at_the_top_and_the_last_is_apart(tmp_path):
    run = make_run(tmp_path, SMALL)
    assert "hidden_states list" not in "".join(page(run).texts)
    run.info["settings"]["sites"] = "hf"
    as_listed(run)
    parsed = page(run)
    assert "entries of different families are not the same places" in "".join(parsed.texts)
    assert "entries of Hugging Face's list, the last one behind" in "".join(parsed.texts)
    found, _ = data(run)
    (view, *_) = next(p for key, p in found.items() if key.endswith("inter_token_cosine"))
    lines, finals = ([t for t in view["figures"][0]["data"] if t["uid"].endswith(e)] for e in ("-line", "-final"))
    assert [[d[0] for d in t["customdata"]] for t in lines] == [["hf.0", "hf.1", "hf.2"], ["hf.0", "hf.1"]]
    assert [t["customdata"][0][0] for t in finals] == ["hf.3", "hf.2"]
    (cka, *_) = next(p for key, p in found.items() if key.endswith("-cka"))
    assert cka["figures"][0]["data"][0]["x"] == ["hf.0", "hf.1", "hf.2", " ", "hf.3"]
    assert cka["figures"][0]["layout"]["xaxis"]["ticktext"] == ["0", "1", "2", "3"]
    assert write_figures(run, ("svg",))


def as_listed(run):
    """Rename the sites to Hugging Face's list, which ends with the final norm in the place of the last block."""
    blocks = {label: n for label, _, _, n, _ in SMALL}
    for name, end in (("layers", ""), ("pairs", "_a"), ("pairs", "_b")):
        frame = getattr(run, name)
        count = frame[f"subject{end}"].map(blocks)
        kept = frame[frame[f"site{end}"] != "block." + (count - 1).astype(str)]
        entry = (kept[f"depth{end}"] * count[kept.index]).round().astype(int)
        setattr(run, name, kept.assign(**{f"site{end}": "hf." + entry.astype(str)}))


def test_warnings_shared_by_subjects_are_said_once(run):
    run.info["warnings"] = [f"{label}, text at 64 tokens: short" for label, *_ in SMALL]
    text = "".join(page(run).texts)
    assert text.count("text at 64 tokens: short") == 1
    assert f"text at 64 tokens: short ({SMALL[0][0]}; {NASTY})" in text


def test_the_time_of_calibration_is_shown_where_it_is_known(run):
    assert "calibration (s)" not in "".join(page(run).texts)
    run.info["timings"] |= {SMALL[0][0]: {"load_s": 1.0, "calibration_s": 77.5}, "total_s": 130.0}
    text = "".join(page(run).texts)
    assert "calibration (s)" in text
    assert "77.5" in text
    assert "total (s)" not in text
    assert "2.2 min" in text


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="file"):
        write_report(run, tmp_path / "file" / "report.html")


def test_a_full_disk_says_so_and_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for write in (write_report, lambda run: write_figures(run, ("svg",))):
        with pytest.raises(BadFile, match="the disk is full; free some space and try again, or choose another place"):
            write(run)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
