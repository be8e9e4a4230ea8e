"""How the zoo's flow came about: the snapshots of its trainings, measured into one run directory."""

from collections.abc import Sequence
from pathlib import Path

from repflow.engines import Progress
from repflow.studies.run import Run
from repflow.studies.settings import MeasureSettings, TaskSettings
from repflow.training.snapshots import measure_snapshots
from repflow.training.zoo.folder import Training

EXAMPLES = 32
CONTEXT = 512


def flow_of(trainings: Sequence[Training], out: Path, seed: int, progress: Progress) -> Run:
    """The flow of every model at its snapshots, on the built-in prose. A finished run of the same is opened."""
    snapshots = {f"zoo:{training.path.name}": training.steps() for training in trainings}
    return measure_snapshots(
        snapshots,
        out,
        TaskSettings(task=("text",), context=(CONTEXT,), examples=EXAMPLES),
        MeasureSettings(seed=seed),
        keep_replicates=False,
        progress=progress,
    )
