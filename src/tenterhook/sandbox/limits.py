"""How much a run may use, and which limit ended it."""

from __future__ import annotations

import dataclasses

from tenterhook.settings import Settings, environment_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one run; the defaults are the settings' defaults."""

    wall_seconds: float = 20.0
    """From the start to ``cb``."""
    grace_seconds: float = 20.0
    """From ``cb`` until everything the run started must be over."""
    console_bytes: int = 256 * 1024
    """Console text that is kept (UTF-8)."""
    result_bytes: int = 1024 * 1024
    """Largest answer given to ``cb``, as JSON."""
    storage_bytes: int = 500 * 1024
    """Largest document for ``context.webtask.storage.set``, as JSON."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """Return the limits that the operator set."""
        return cls(
            wall_seconds=settings.wall_time_limit_seconds,
            grace_seconds=settings.grace_limit_seconds,
            console_bytes=settings.max_console_bytes,
            result_bytes=settings.max_result_bytes,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitHit:
    """The limit that ended a run, in words for its reader."""

    name: str
    """``wall_time``, ``grace``, ``memory`` or ``result_size``."""
    value: float
    """What the limit was, in ``unit``."""
    unit: str
    """``seconds`` or ``bytes``."""
    setting: str
    """The environment variable that raises it."""

    def __str__(self) -> str:
        amount = f"{self.value:g} {self.unit}" if self.unit == "seconds" else f"{self.value:,.0f} {self.unit}"
        return f"{self.name.replace('_', ' ')} limit of {amount}; {self.setting} changes it"


def wall_time(limits: Limits) -> LimitHit:
    """No ``cb`` within the wall time."""
    return LimitHit(
        name="wall_time",
        value=limits.wall_seconds,
        unit="seconds",
        setting=environment_name("wall_time_limit_seconds"),
    )


def grace(limits: Limits) -> LimitHit:
    """Something was still open when the grace period after ``cb`` was over."""
    return LimitHit(
        name="grace",
        value=limits.grace_seconds,
        unit="seconds",
        setting=environment_name("grace_limit_seconds"),
    )


def memory(memory_bytes: int) -> LimitHit:
    """The process that the run lived in needed more memory than it may have."""
    return LimitHit(
        name="memory", value=memory_bytes, unit="bytes", setting=environment_name("memory_limit_bytes")
    )


def result_size(limits: Limits) -> LimitHit:
    """The answer was larger than may be kept."""
    return LimitHit(
        name="result_size",
        value=limits.result_bytes,
        unit="bytes",
        setting=environment_name("max_result_bytes"),
    )
