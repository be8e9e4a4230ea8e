"""How the zoo's flow came about: the snapshots of its trainings, measured into one run directory."""

from collections.abc import Sequence
from pathlib import Path

from repflow.core import Interrupted
from repflow.engines import Progress
from repflow.report.run import Run
from repflow.studies.kit.settings import MeasureSettings, TaskSettings
from repflow.training.snapshots import measure_snapshots
from repflow.training.zoo.folder import Training

EXAMPLES = 32
CONTEXT = 512
METRICS = ("inter_token_cosine", "adjacent_cosine", "update_ratio", "token_cka")
"""What homogenisation is seen by. Fewer metrics keep the run small enough to ship."""


def flow_of(trainings: Sequence[Training], out: Path, seed: int, progress: Progress) -> Run:
    """The flow of every model at its snapshots, on the built-in texts.

    An unfinished run is gone on with; a finished one, which may be of weights that are no more, is replaced.
    Raises as `measure_snapshots` does; Interrupted names the folder above `out`, which --resume needs.
    """
    snapshots = {f"zoo:{training.path.name}": training.steps() for training in trainings}
    try:
        return measure_snapshots(
            snapshots,
            out,
            TaskSettings(task=("text",), context=(CONTEXT,), examples=EXAMPLES),
            MeasureSettings(metrics=METRICS, seed=seed),
            keep_replicates="read",
            overwrite=True,
            progress=progress,
        )
    except Interrupted as stop:
        raise Interrupted(str(stop), str(out.parent)) from stop
