"""Numeric user ids that belong to nobody, for processes that must not share one with anybody.

No account is created: the kernel needs only the number. The range is the top that systemd's table of uids leaves
unused (1 879 048 192 to 2 147 483 646, systemd ``doc/UIDS-GIDS.md``), cut to what this user namespace maps
(``/proc/self/uid_map``): inside a container with 65 536 ids the numbers come from there.
"""

from __future__ import annotations

import pwd
import secrets
from collections.abc import Set as AbstractSet
from pathlib import Path

_FIRST, _LAST = 1_879_048_192, 2_147_483_646
_FALLBACK_COUNT = 4096
_LARGE_RANGE = 1 << 24


def usable_range() -> tuple[int, int]:
    """Return the first and last uid that may be handed out here."""
    top = 0
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _outside, count = (int(part) for part in line.split())
        top = max(top, inside + count - 1)
    if top >= _FIRST + _FALLBACK_COUNT:
        return _FIRST, min(top, _LAST)
    return max(1, top - _FALLBACK_COUNT), top - 1


def in_use() -> set[int]:
    """Return every uid that a running process or an account has."""
    used = {entry.pw_uid for entry in pwd.getpwall()}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                used.add(folder.stat().st_uid)
            except FileNotFoundError:
                continue  # it ended meanwhile
    return used


def pick_unused(*, besides: frozenset[int] = frozenset()) -> int:
    """Return a random uid that no account, no process and nobody in ``besides`` has."""
    first, last = usable_range()
    taken = in_use() | besides
    while True:
        uid = first + secrets.randbelow(last - first + 1)
        if uid not in taken:
            return uid


def pick_random(*, besides: AbstractSet[int] = frozenset()) -> int:
    """Return a random uid as ``pick_unused`` does, but quickly: where the range is large, chance is proof enough.

    A thousand uids of ours among 267 million leave one chance in 267 000 for the next to be taken.
    """
    first, last = usable_range()
    if last - first < _LARGE_RANGE:
        return pick_unused(besides=frozenset(besides))
    while True:
        uid = first + secrets.randbelow(last - first + 1)
        if uid not in besides:
            return uid
