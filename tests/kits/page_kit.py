"""A page as its tests read it: what its panels draw, its texts, and a browser that looks at it."""

import json
import re
import shutil
import zlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs a browser")


def unpacked(text: str) -> dict[str, Any]:
    """Everything that the page carries packed but plotly, by the name of its element."""
    found = re.findall(r'<script type="text/plain" id="packed-([^"]+)"[^>]*>([^<]*)</script>', text)
    return {name: json.loads(zlib.decompress(b64decode(data))) for name, data in found if name != "plotly"}


def panels(text: str) -> dict[str, list[dict[str, Any]]]:
    """The views of every panel, by its id."""
    sections = {name: data for name, data in unpacked(text).items() if name != "overview"}
    return {
        key: [{"figures": [], "choice": "", **view} for view in views]
        for data in sections.values()
        for key, views in data["panels"].items()
    }


def views(text: str, key: str) -> list[dict[str, Any]]:
    """The views of the one panel whose id ends so."""
    (found,) = [found for name, found in panels(text).items() if name.endswith(f"-{key}")]
    return found


def bare(text: str) -> str:
    """The page without what it carries packed, and without scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.S)


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Any]:
    """The page in a browser, once everything is unpacked; it must load nothing and complain of nothing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page(**options)
        tab.set_default_timeout(120_000)
        requests, errors = [], []
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("dialog", lambda dialog: errors.append(dialog.message))
        tab.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            tab.wait_for_selector("html[data-ready=true]", state="attached")
        yield tab
        assert not errors
        assert [url.split("#")[0] for url in requests] == [path.as_uri()]
        browser.close()


def draw_all(tab: Any) -> None:
    """Open every section and draw every panel, as printing does."""
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")


def until(tab: Any, condition: str) -> None:
    """Wait for a condition; the page's own policy forbids what playwright waits with."""
    for _ in range(1200):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")
