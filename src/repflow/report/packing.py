"""What a page carries, made small: JSON or a script, deflated, as text that an element can hold."""

import base64
import json
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from markupsafe import Markup

from repflow.core import visible


def packed(text: str) -> Markup:
    """The text, deflated, in base64; `unpack` in page.js is its inverse."""
    return Markup(base64.b64encode(zlib.compress(text.encode("utf-8", "backslashreplace"), 9)).decode())


@cache
def packed_library(text: str) -> Markup:
    """The same, kept: it is the same in every page."""
    return packed(text)


def unpacked(text: str) -> str:
    """The inverse of `packed`."""
    return zlib.decompress(base64.b64decode(text)).decode()


def shown(value: Any) -> Any:
    """What an expression of the template puts into the page: no text in it turns the line round."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(visible, value.split("\n")))


def _all_shown(data: Any) -> Any:
    """The same of every text in JSON data."""
    if isinstance(data, Mapping):
        return {shown(key): _all_shown(value) for key, value in data.items()}
    return [_all_shown(each) for each in data] if isinstance(data, list | tuple) else shown(data)


def script_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(_all_shown(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
