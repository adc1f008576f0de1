"""Names and versions of npm modules: which texts are one, and which version is newer.

Versions follow semver 2.0: ``major.minor.patch``, then maybe ``-prerelease``, then maybe ``+build``. Names follow the
registry's rules, with the capital letters that old modules have (``JSONStream``).
"""

from __future__ import annotations

import re

MAX_NAME_LENGTH = 214
"""The registry's own limit."""

_PART = r"[A-Za-z0-9~-][A-Za-z0-9._~-]*"
_NAME = re.compile(rf"(?:@{_PART}/)?{_PART}")
_EXACT = re.compile(
    r"(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
# Versions, ranges and tags, but nothing that has an address, a path or an alias in it.
_REQUEST = re.compile(r"[0-9A-Za-z.+~^<>=|*_ -]{0,256}")
_RESERVED = frozenset({"node_modules", "favicon.ico"})

VersionOrder = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def is_module_name(text: str) -> bool:
    """Say whether the registry could have a module of this name."""
    return (
        len(text) <= MAX_NAME_LENGTH and text.lower() not in _RESERVED and _NAME.fullmatch(text) is not None
    )


def is_exact_version(text: str) -> bool:
    """Say whether the text is one version, not a range or a tag."""
    return len(text) <= 256 and _EXACT.fullmatch(text) is not None


def is_version_request(text: str) -> bool:
    """Say whether the text may be a version, a range or a tag; addresses and paths are not."""
    return _REQUEST.fullmatch(text) is not None


def is_prerelease(version: str) -> bool:
    """Say whether an exact version is a pre-release, or no version at all."""
    match = _EXACT.fullmatch(version)
    return match is None or match[4] is not None


def version_order(version: str) -> VersionOrder:
    """Return a key that sorts versions as semver orders them; what is no version sorts first."""
    match = _EXACT.fullmatch(version)
    if match is None:
        return (-1, -1, -1, False, ())
    # Numbers sort below words; a release sorts above its pre-releases.
    words = tuple(
        (not word.isdigit(), int(word) if word.isdigit() else 0, word)
        for word in (match[4].split(".") if match[4] else ())
    )
    return (int(match[1]), int(match[2]), int(match[3]), match[4] is None, words)
