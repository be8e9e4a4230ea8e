"""The grids that come with repflow, and those of YAML files."""

from pathlib import Path
from typing import Any

import yaml

from repflow.core import BadFile, BadSetting, unknown
from repflow.studies.lab.cells import Grid

_PRESETS = Path(__file__).parent / "presets"


def presets() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def grid_of(name: str) -> Grid:
    """A preset, or the grid of a file. Raises BadFile, BadSetting or UnknownName."""
    if name in presets():
        path = _PRESETS / f"{name}.yaml"
    elif "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
    else:
        raise unknown("grid", name, presets())
    return Grid.of(path.stem, _read(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadSetting(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise BadSetting(f"{path} holds no grid; a grid has architectures, losses, seeds and tokens")
    return found
