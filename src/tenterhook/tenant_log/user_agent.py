"""A User-Agent header, shortened as Auth0's logs show it: ``Chrome 129.0.0 / Mac OS X 10.15.7``.

What is not one of the browsers and systems below is ``Other 0.0.0``, as there; SDKs and command lines are. This is for
people who skim a log, not for decisions.
"""

from __future__ import annotations

import re

_NOTHING = "Other 0.0.0"

# Order matters: nearly every browser also claims to be an older one.
_BROWSERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Edge", re.compile(r"Edg(?:e|A|iOS)?/([\d.]+)")),
    ("Opera", re.compile(r"OPR/([\d.]+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/([\d.]+)")),
    ("Chrome", re.compile(r"(?:Chrome|CriOS)/([\d.]+)")),
    ("Mobile Safari", re.compile(r"Version/([\d.]+).*Mobile.*Safari/")),
    ("Safari", re.compile(r"Version/([\d.]+).*Safari/")),
)
_SYSTEMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Windows", re.compile(r"Windows NT ([\d.]+)")),
    ("iOS", re.compile(r"(?:iPhone|iPad|iPod).*? OS ([\d_]+)")),
    ("Mac OS X", re.compile(r"Mac OS X ([\d_.]+)")),
    ("Android", re.compile(r"Android ([\d.]+)")),
    ("Linux", re.compile(r"Linux()")),
)
_MOBILE = re.compile(r"Mobile|Android|iPhone|iPad|iPod")
_LONGEST_READ = 512


def summarize(user_agent: str | None) -> str:
    """Return browser and system with versions of three parts."""
    text = (user_agent or "")[:_LONGEST_READ]
    return f"{_first(_BROWSERS, text)} / {_first(_SYSTEMS, text)}"


def is_mobile(user_agent: str | None) -> bool:
    """Tell whether a phone or tablet says so of itself."""
    return _MOBILE.search((user_agent or "")[:_LONGEST_READ]) is not None


def _first(table: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> str:
    for name, pattern in table:
        match = pattern.search(text)
        if match is not None:
            parts = [part for part in re.split(r"[._]", match[1]) if part]
            return f"{name} {'.'.join((*parts, '0', '0', '0')[:3])}"
    return _NOTHING
