"""What the doctor says: findings, each with its weight."""

from __future__ import annotations

import dataclasses
import enum


class Weight(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    """As it should be, or worth knowing."""
    WARNING = "warning"
    """It works, but something is lost or will be; the exit status stays 0."""
    PROBLEM = "problem"
    """Something that Tenterhook is for does not work, or is not safe; the exit status is 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. Holds no secrets: the whole output is made to be sent to somebody."""

    area: str
    """What it belongs to: sandbox, node, database, …"""
    name: str
    weight: Weight
    detail: str
    """What was found."""
    lost: str | None = None
    """What one does not have because of it."""
    remedy: str | None = None
    """What to do."""


def ok(area: str, name: str, detail: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(area=area, name=name, weight=Weight.OK, detail=detail)


def warning(
    area: str, name: str, detail: str, *, lost: str | None = None, remedy: str | None = None
) -> Finding:
    """Return a finding that something is lost."""
    return Finding(area=area, name=name, weight=Weight.WARNING, detail=detail, lost=lost, remedy=remedy)


def problem(
    area: str, name: str, detail: str, *, lost: str | None = None, remedy: str | None = None
) -> Finding:
    """Return a finding that something does not work."""
    return Finding(area=area, name=name, weight=Weight.PROBLEM, detail=detail, lost=lost, remedy=remedy)
