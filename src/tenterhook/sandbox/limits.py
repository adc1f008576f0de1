"""How much a run and its process may use, and which limit ended it, or was met by it.

    Limits         of one run; runs with different ones share a process
    Confinement    of one process, fixed when it starts; runs share a process only if it is the same for both

The operator sets a default and a hard maximum for each; a hook may have its own value up to the maximum
(``limit_kinds``).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Self

from tenterhook.egress import Entry, Mode, Rules
from tenterhook.sandbox.limit_kinds import KIND_OF, KINDS, unit_of
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
    """Largest document for ``context.webtask.storage.set``, as JSON; the original's, for everybody."""

    @classmethod
    def from_settings(cls, settings: Settings, own: Mapping[str, float] | None = None) -> Self:
        """Return the limits of a hook: the operator's, and its ``own`` by their names in ``KINDS``, never beyond the maxima."""
        return cls(**_values(settings, own or {}, of_process=False))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a process is started with; hashable, for it is part of a process's identity."""

    memory_bytes: int = 256 * 1024 * 1024
    threads: int = 64
    open_files: int = 512
    scratch_bytes: int = 16 * 1024 * 1024
    """Of /tmp."""
    max_connections: int = 256
    """At a time."""
    cpu_percent: int = 100
    """Of one processor; where there is a cgroup."""
    egress: Rules = dataclasses.field(default_factory=Rules)
    """The hook's own mode and allow-list; made by ``from_settings``, the list is empty where it plays no part."""
    grants: tuple[Entry, ...] = ()
    """Beyond public addresses, for this tenant: its own public URL. The operator's are the pool's."""
    only_for: str | None = None
    """Whose runs alone may be in the process (a hook's id); None: all of the tenant's that are confined the same."""

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        own: Mapping[str, float] | None = None,
        *,
        egress: Rules | None = None,
        grants: tuple[Entry, ...] = (),
        only_for: str | None = None,
    ) -> Self:
        """Return the confinement of a hook; ``own`` as for ``Limits``."""
        return cls(
            # Hooks whose lists play no part may share a process, whatever stands in them.
            egress=Rules() if egress is None or egress.mode is Mode.OPEN else egress,
            grants=grants,
            only_for=only_for,
            **_values(settings, own or {}, of_process=True),
        )


def _values(settings: Settings, own: Mapping[str, float], *, of_process: bool) -> dict[str, Any]:
    return {kind.field: kind.effective(settings, own) for kind in KINDS if kind.of_process is of_process}


_KIND_OF_FIELD = {kind.field: kind for kind in KINDS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitHit:
    """The limit that ended a run, or that it met, in words for its reader."""

    name: str
    """``wall_time``, ``grace``, ``memory``, ``result_size``, ``threads``, ``open_files``, ``scratch`` or ``connections``."""
    value: float
    """What the limit was, in ``unit``."""
    unit: str
    """``seconds``, ``bytes``, ``threads``, ``files`` or ``connections``."""
    setting: str
    """The environment variable that raises it for every hook."""
    hook_setting: str | None = None
    """The property of the hook's own settings that raises it for this one."""

    def __str__(self) -> str:
        number = f"{self.value:g}" if self.unit == "seconds" else f"{self.value:,.0f}"
        amount = f"{number} {unit_of(self.value, self.unit)}"
        how = f"{self.setting} changes it"
        if self.hook_setting is not None:
            option = KIND_OF[self.hook_setting].option
            how = (
                f"`tenterhook hooks limits NAME {option} …` changes it for this hook, {self.setting} for all"
            )
        return f"{self.name.replace('_', ' ')} limit of {amount}; {how}"


@functools.cache  # each run asks twice for the same
def _hit(name: str, field: str, value: float) -> LimitHit:
    kind = _KIND_OF_FIELD[field]
    return LimitHit(
        name=name,
        value=value,
        unit=kind.unit,
        setting=environment_name(kind.setting),
        hook_setting=kind.name,
    )


def wall_time(limits: Limits) -> LimitHit:
    """No ``cb`` within the wall time."""
    return _hit("wall_time", "wall_seconds", limits.wall_seconds)


def grace(limits: Limits) -> LimitHit:
    """Something was still open when the grace period after ``cb`` was over."""
    return _hit("grace", "grace_seconds", limits.grace_seconds)


def result_size(limits: Limits) -> LimitHit:
    """The answer was larger than may be kept."""
    return _hit("result_size", "result_bytes", limits.result_bytes)


def memory(memory_bytes: int) -> LimitHit:
    """The process that the run lived in needed more memory than it may have."""
    return _hit("memory", "memory_bytes", memory_bytes)


def threads(most: int) -> LimitHit:
    """The process could not start another thread."""
    return _hit("threads", "threads", most)


def open_files(most: int) -> LimitHit:
    """The process could open no more files or connections."""
    return _hit("open_files", "open_files", most)


def scratch(size_bytes: int) -> LimitHit:
    """The folder for temporary files was full."""
    return _hit("scratch", "scratch_bytes", size_bytes)


def connections(most: int) -> LimitHit:
    """The process had as many outgoing connections as it may have."""
    return _hit("connections", "max_connections", most)
