"""What reaches the terminal: results on standard output, remarks and failures on standard error.

Text from hooks, users and servers is *untrusted*: it may hold escape sequences that move the cursor, retitle the
window or answer for the person at the keyboard. Everything from outside goes through ``visible`` first. Rich's markup
is off for the same reason: ``[bold]`` in somebody's name is a name.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from rich.console import Console

output = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
"""Results. Soft wrap: lines that are to be copied must not be broken for a narrow window."""

remarks = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
"""Progress, hints and failures; a pipe does not get them."""

_KEPT = {"\n", "\t"}
# C0 and C1 controls, and the format characters that turn text round (bidirectional overrides) or hide in it.
_HIDDEN_CATEGORIES = {"Cc", "Cs"}
_REORDERING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: object) -> str:
    """Return text with every control character replaced by a picture or an escape of it; line ends and tabs stay."""
    return "".join(_shown(character) for character in str(text))


def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    if character in _REORDERING or unicodedata.category(character) in _HIDDEN_CATEGORIES:
        number = ord(character)
        return chr(0x2400 + number) if number < 0x20 else f"\\u{number:04x}"
    return character


def on_one_line(text: object) -> str:
    """Return text as one line, for a failure or a table's cell."""
    return " ".join(visible(text).split())


def say(text: str = "", style: str | None = None) -> None:
    """Print a line of the result; a style shows on terminals only."""
    output.print(text, style=style)


def remark(text: str) -> None:
    """Print a line that is not part of the result."""
    remarks.print(text)


def say_json(value: Any) -> None:
    """Print a value for programs: JSON, and nothing else on standard output."""
    output.out(json.dumps(value, indent=2, ensure_ascii=True), highlight=False)


def fail(text: object) -> None:
    """Print the one line that says why the command did not do it."""
    remarks.print(f"tenterhook: {on_one_line(text)}", style="red")
