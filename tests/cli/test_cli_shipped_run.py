"""`zoo:training`, a run that comes with the package, in the commands that read runs."""

from repflow.cli import main


def test_show_prints_it(capsys):
    assert main(["show", "zoo:training"]) == 0
    said = capsys.readouterr().out
    assert "zoo:mamba-tiny" in said
    assert "no report yet: repflow report zoo:training" in said
    assert "models/zoo/training" not in said


def test_report_goes_beside_the_caller_not_into_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "zoo:training"]) == 0
    written = tmp_path / "runs" / "zoo-training" / "report.html"
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert "During training" in written.read_text(encoding="utf-8")
    assert main(["report", "zoo:training", "--out", "elsewhere"]) == 0
    assert (tmp_path / "elsewhere" / "report.html").is_file()
