"""Killed at any moment and resumed, a run is the run that nobody disturbed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "kits" / "kill_and_resume.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_twenty_kills_leave_no_trace(tmp_path: Path) -> None:
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HARNESS), str(tmp_path)],
        env=os.environ | threads,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    kills = found["kills"]
    assert len(kills) == 20
    assert all(kill["same"] for kill in kills), done.stderr
    met = [kill["parts"] for kill in kills if kill["met"]]
    assert len(met) >= 15, "the moments fall within the run"
    assert len({kept for kept in met if kept}) >= 10, "they fall on many places of it"
    assert found["chain"]["met"] >= 4, "one run was killed over and over"
    assert found["chain"]["same"]
