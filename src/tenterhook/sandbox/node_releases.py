"""How old a Node is, without asking anybody.

Nothing inside Node's wheel says when that Node was released: its headers carry no date, and its files the time of the
installation. So a list is kept beside this module, ``node_releases.json``: version to the day by which it was
published, as the npm package ``node`` tells, which repackages each release within a day or two. Sometimes a registry
tells a later day for an old version (it was built again, or fetched late); a version cannot be younger than a higher
one of its line, so ``make outdated`` writes the earliest day among it and those above it. A day in the list is
therefore a bound: the release may be older, never younger.

A version above every listed one of its line was published after the list was made, and is at most as old as the list.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

MOST_DAYS = 90
"""Node's security releases come about every two months; what is older than this has missed at least one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReleaseList:
    """What was known when the list was made."""

    asked_on: dt.date
    published: Mapping[str, dt.date]
    """Version to the day by which it was published."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeAge:
    """What can be said about the age of one version."""

    published_by: dt.date | None
    """It was published on this day or before; None for one that the list does not reach."""
    days: int
    """At least that many days old; for one that the list does not reach, at most."""
    newest_known: str | None
    """The newest version of its line in the list, where that is newer."""

    @property
    def is_too_old(self) -> bool:
        """Whether it is, or may be, older than ``MOST_DAYS``."""
        return self.days > MOST_DAYS


@cache
def release_list() -> ReleaseList:
    """Return the list that came with this release of ours."""
    document = json.loads((files("tenterhook.sandbox") / "node_releases.json").read_text())
    return ReleaseList(
        asked_on=dt.date.fromisoformat(document["asked_on"]),
        published=MappingProxyType(
            {version: dt.date.fromisoformat(day) for version, day in document["published"].items()}
        ),
    )


def age_of(version: str, today: dt.date, known: ReleaseList | None = None) -> NodeAge:
    """Return what can be said about a version's age."""
    known = known or release_list()
    line = sorted((listed for listed in known.published if _line(listed) == _line(version)), key=numbers)
    not_below = [listed for listed in line if numbers(listed) >= numbers(version)]
    published_by = known.published[not_below[0]] if not_below else None
    return NodeAge(
        published_by=published_by,
        days=max(0, (today - (published_by or known.asked_on)).days),
        newest_known=line[-1] if line and numbers(line[-1]) > numbers(version) else None,
    )


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, to be compared."""
    return tuple(int(part) for part in version.split("."))


def _line(version: str) -> int:
    return numbers(version)[0]
