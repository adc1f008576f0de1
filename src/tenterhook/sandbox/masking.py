"""Masking: what a run leaves behind never holds the values of its hook's secrets.

A value is looked for as it is and as programs tend to write it: in lower case (host names), escaped for JSON and
JavaScript, percent-encoded (URI, URI component, form), in Base64 (standard and URL alphabet, at each of the three
positions it can have in a longer text, as in ``Authorization: Basic``) and in hexadecimal. Each is
replaced by ``[secret NAME]``. A value of several lines (a private key) is also looked for line by line.

Not found, and not meant to be: values of fewer than ``SHORTEST`` characters, which would blacken half a log ("true",
"8080"); what a hook splits, reverses, encrypts or hashes; a value written in two console calls. Masking guards against
mishaps. Against a hook that wants to show its secrets nothing helps, and it could send them away just as well.

The text is searched once for each form, longest first, by ``str.replace``, whose time is linear whatever a hook writes (a
regular expression's is not: it goes back). The forms of a set are bounded, so the cost of a run is: the lines of long
values are left out first.
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
MOST_FORMS = 512
"""Forms that a set of secrets is looked for in, before the lines of its values are left out."""
_SHORTEST_LINE = 16
_SHORTEST_CODE = 8
_SHORTEST_CUT = 4
_MOST_CUTS_TRIED = 64
_MOST_WALKED_CHARACTERS = 64 * 1024
"""Of a document that holds secrets; a longer one is not kept at all."""
_KEPT_SETS = 256
# What encodeURIComponent and encodeURI leave as it is.
_URI_COMPONENT_SAFE = "!'()*~-._"
_URI_SAFE = _URI_COMPONENT_SAFE + ";/?:@&=+$,#"


class Masker:
    """Masks the values of one set of secrets."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        values = [(name, value) for name, value in sorted(secrets.items()) if len(value) >= SHORTEST]
        forms = {form: name for name, value in values for form in _written(value)}
        for name, value in values:
            for line in _lines(value):
                if len(forms) < MOST_FORMS:
                    forms |= {form: name for form in _written(line) if form not in forms}
        # While one form is looked for, what stands for those found already must not be taken for it.
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._places = [(form, f"\ue000{number}\ue001") for number, form in enumerate(longest_first)]
        self._marks = {place: f"[secret {forms[form]}]" for form, place in self._places}

    def text(self, text: str) -> str:
        """Return the text with every value replaced."""
        found: list[str] = []
        for form, place in self._places:
            if form in text:
                text = text.replace(form, place)
                found.append(place)
        for place in found:
            text = text.replace(place, self._marks[place])
        return text

    def cut_text(self, text: str) -> str:
        """Mask a text that was cut at its end, and may end with the beginning of a value."""
        masked = self.text(text)
        for form, place in self._places:
            length = _longest_beginning(form, masked)
            if length:
                return masked[:-length] + self._marks[place]
        return masked

    def text_or_none(self, text: str | None) -> str | None:
        """Mask a text, if there is one."""
        return None if text is None else self.text(text)

    def error(self, error: HookError) -> HookError:
        """Mask all of a described error; its texts may have been cut."""
        if not self._places:
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
        if not self._places:
            return value
        if isinstance(value, dict | list):
            return self._container(value)
        return self._walk(value)

    def _container(self, value: Json) -> Json:
        """Mask a document: searched once as its text, and not string by string, of which a document may have a million."""
        text = json.dumps(value, ensure_ascii=False)
        if not any(form in text for form, _place in self._places):
            return value
        if len(text) <= _MOST_WALKED_CHARACTERS:
            return self._walk(value)
        return f"[{len(text):,} characters that hold secrets]"

    def _walk(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._walk(each) for each in value]
        if isinstance(value, dict):
            return {self.text(name): self._walk(each) for name, each in value.items()}
        return value


@functools.lru_cache(maxsize=_KEPT_SETS)
def _masker(secrets: frozenset[tuple[str, str]]) -> Masker:
    return Masker(dict(secrets))


def masker_of(secrets: Mapping[str, str]) -> Masker:
    """Return the masker of a set of secrets, made once while the set is in use."""
    return _masker(frozenset(secrets.items()))


NO_SECRETS = masker_of({})
"""Masks nothing."""


def _longest_beginning(form: str, text: str) -> int:
    """Return how many characters of a form's beginning a text ends with; at most so many places are tried."""
    at = max(0, len(text) - len(form) + 1)
    for _ in range(_MOST_CUTS_TRIED):
        at = text.find(form[:_SHORTEST_CUT], at)
        if at == -1:
            return 0
        if form.startswith(text[at:]):
            return len(text) - at
        at += 1
    return 0


def _lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    if len(lines) > 1:
        for line in lines:
            # Not the frame of a key, which is no secret and stands in every text about keys.
            if len(line) >= _SHORTEST_LINE and not line.startswith("-----"):
                yield line


def _written(value: str) -> Iterator[str]:
    yield value
    yield value.lower()  # as names of hosts are, in URLs and in DNS
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
