"""Masking: what a run leaves behind never holds the values of its hook's secrets.

A value is looked for as it is and as programs tend to write it: escaped for JSON and JavaScript, percent-encoded (URI,
URI component, form), in Base64 (standard and URL alphabet, at each of the three positions it can have in a longer text,
as in ``Authorization: Basic``) and in hexadecimal. Each is replaced by ``[secret NAME]``. A value of several lines (a
private key) is also looked for line by line.

Not found, and not meant to be: values of fewer than ``SHORTEST`` characters, which would blacken half a log ("true",
"8080"); what a hook splits, reverses, encrypts or hashes; a value written in two console calls. Masking guards against
mishaps. Against a hook that wants to show its secrets nothing helps, and it could send them away just as well.

One compiled expression per set of secrets, a tree of common beginnings: its cost per character does not grow with the
number of secrets. Compiled when first needed, and kept for the sets used last.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from tenterhook.sandbox.execution import HookError
from tenterhook.sandbox.script import Json

SHORTEST = 6
"""Characters a value must have to be masked."""
_SHORTEST_LINE = 16
_SHORTEST_CODE = 8
_SHORTEST_CUT = 4
_KEPT_SETS = 256
# What encodeURIComponent and encodeURI leave as it is.
_URI_COMPONENT_SAFE = "!'()*~-._"
_URI_SAFE = _URI_COMPONENT_SAFE + ";/?:@&=+$,#"


class Masker:
    """Masks the values of one set of secrets."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms = {
            form: f"[secret {name}]"
            for name, value in sorted(secrets.items())
            if len(value) >= SHORTEST
            for form in _forms(value)
        }

    @functools.cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(_tree(list(self._forms)))

    def text(self, text: str) -> str:
        """Return the text with every value replaced."""
        if not self._forms:
            return text
        return self._expression.sub(lambda found: self._forms[found[0]], text)

    def cut_text(self, text: str) -> str:
        """Mask a text that was cut at its end, and may end with the beginning of a value."""
        masked = self.text(text)
        for form, mark in self._forms.items():
            for length in range(min(len(form) - 1, len(masked)), _SHORTEST_CUT - 1, -1):
                if masked.endswith(form[:length]):
                    return masked[:-length] + mark
        return masked

    def text_or_none(self, text: str | None) -> str | None:
        """Mask a text, if there is one."""
        return None if text is None else self.text(text)

    def error(self, error: HookError) -> HookError:
        """Mask all of a described error; its texts may have been cut."""
        if not self._forms:
            return error
        return HookError(
            name=self.text(error.name),
            message=self.cut_text(error.message),
            stack=None if error.stack is None else self.cut_text(error.stack),
            code=self.text_or_none(error.code),
            properties=self.json(dict(error.properties)),
        )

    def json(self, value: Json) -> Json:
        """Return a JSON value with every text in it masked, names of members too."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(each) for each in value]
        if isinstance(value, dict):
            return {self.text(name): self.json(each) for name, each in value.items()}
        return value


@functools.lru_cache(maxsize=_KEPT_SETS)
def _masker(secrets: frozenset[tuple[str, str]]) -> Masker:
    return Masker(dict(secrets))


def masker_of(secrets: Mapping[str, str]) -> Masker:
    """Return the masker of a set of secrets, made once while the set is in use."""
    return _masker(frozenset(secrets.items()))


NO_SECRETS = masker_of({})
"""Masks nothing."""


def _forms(value: str) -> Iterator[str]:
    yield from _written(value)
    lines = value.splitlines()
    if len(lines) > 1:
        for line in lines:
            # Not the frame of a key, which is no secret and stands in every text about keys.
            if len(line) >= _SHORTEST_LINE and not line.startswith("-----"):
                yield from _written(line)


def _written(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(value)[1:-1]
    yield (
        value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    )  # as Node shows a string in an object
    data = value.encode("utf-8", "replace")
    for encoded in (quote(data, safe=_URI_COMPONENT_SAFE), quote(data, safe=_URI_SAFE), quote_plus(data)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    for code in _base64_cores(data):
        yield code
        yield code.replace("+", "-").replace("/", "_")
    yield data.hex()
    yield data.hex().upper()


def _base64_cores(data: bytes) -> Iterator[str]:
    """Yield the characters of Base64 that depend on nothing but ``data``, wherever it begins in a longer text."""
    for before in range(3):
        code = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        first = -(-before * 8 // 6)
        whole = (before + len(data)) * 8 // 6
        core = code[first:whole]
        if len(core) >= _SHORTEST_CODE:
            yield core
        # Standing alone it ends with a character that holds fewer bits, and perhaps a sign that fills up.
        if before == 0 and len(code) > whole:
            yield code


_Tree = dict[str, "_Tree"]


def _tree(words: list[str]) -> str:
    """Return an expression that finds the longest of the words: ``abc|abd`` becomes ``ab(?:c|d)``."""
    root: _Tree = {}
    for word in words:
        at = root
        for character in word:
            at = at.setdefault(character, {})
        at[""] = {}
    return _expression(root)


def _expression(tree: _Tree) -> str:
    # Down a stretch without branches in a loop, for a value may be longer than the stack is deep.
    stretch = ""
    while len(tree) == 1 and "" not in tree:
        ((character, tree),) = tree.items()
        stretch += re.escape(character)
    branches = [
        re.escape(character) + _expression(below) for character, below in sorted(tree.items()) if character
    ]
    if not branches:
        return stretch
    return f"{stretch}(?:{'|'.join(branches)}){'?' if '' in tree else ''}"
