"""The folder of feature files in a run directory. What is in them is the business of `repflow.probing`."""

from pathlib import Path

from repflow.store._layout import is_temporary


def features_folder(directory: Path) -> Path:
    return directory / "features"


def remove_features(directory: Path) -> None:
    """Delete the feature files and the facts beside them, then the folder unless it holds something else."""
    folder = features_folder(directory)
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        if path.suffix == ".npy":
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        elif is_temporary(path):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
