"""The command line: settings in, a study run, its results printed. No logic of its own."""

from repflow.cli._main import main

__all__ = ["main"]
