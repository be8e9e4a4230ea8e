"""`import repflow`, and help, cost nothing heavy."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "pandas", "plotly", "ray", "datasets", "pyarrow", "matplotlib", "scipy")
CHECK = f"import sys; heavy = [name for name in {HEAVY} if name in sys.modules]; assert not heavy, heavy"


@pytest.mark.parametrize(
    "code",
    [
        "import repflow",
        "import repflow; dir(repflow); repflow.RepflowError; repflow.__version__",
        "import repflow.core, repflow.studies.kit.settings",
        "from repflow.cli import main; main(['--help']); main(['--version'])",
        "from repflow.cli import main; main(['flow', '--help'])",
        "from repflow.cli import main; main(['probe', '--help'])",
        "from repflow.cli import main; main(['flwo'])",
        "from repflow.cli import main; main(['flow', 'config:pythia', '--exampless', '3'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{code}; {CHECK}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
