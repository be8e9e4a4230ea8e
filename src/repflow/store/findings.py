"""findings.json: signatures and verdicts, a list of JSON objects."""

import json
from pathlib import Path
from typing import Any

from repflow.core import BadFile


def read_findings(path: Path, data: bytes | None) -> list[dict[str, Any]]:
    """What the file says; empty where there is none. Raises BadFile for one that holds no list of objects."""
    if data is None:
        return []
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} cannot be read ({error}); run again with --overwrite") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadFile(f"{path} holds no list of findings; run again with --overwrite")
    return found
