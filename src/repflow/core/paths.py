"""How a path that a user gives is read: once, where it comes in."""

import os
from pathlib import Path

from repflow.core.errors import BadFile, BadSetting


def local_path(given: str | os.PathLike[str]) -> Path:
    """`given` as an absolute path of this machine.

    `~` and `~user` at the start are home folders, as a shell reads them. Anything else is a name, in the current folder
    unless it begins at the root: `s3:x`, `file:x` and `a:b` name no service. `..` and links stay as they are given.
    Raises BadSetting for a text that cannot be a path, BadFile where the current folder is gone.
    """
    text = os.fspath(given)
    if not text or "\0" in text:
        raise BadSetting(f"a path must be text without NUL characters, got {text!r}")
    try:
        return Path(os.path.expanduser(text)).absolute()
    except FileNotFoundError as error:
        raise BadFile(
            f"the current folder is gone, and {text} lies in it; go to another, or give the whole path"
        ) from error
