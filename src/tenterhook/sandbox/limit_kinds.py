"""The limits that a hook may have of its own: names, units, bounds. API, command line and docs are made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tenterhook.settings import MAXIMUM_OF, Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitKind:
    """One limit that a hook may have of its own."""

    name: str
    """In the API and in what is stored: ``wall_time_seconds``."""
    field: str
    """Of ``Limits`` or ``Confinement``."""
    setting: str
    """The operator's default; ``maximum_setting`` is how far a hook may go."""
    unit: str
    minimum: float
    """Least that is of use. For a process: what Node itself needs to start and to run an empty hook."""
    of_process: bool
    whole: bool
    """Whether only whole numbers make sense."""
    meaning: str

    @property
    def option(self) -> str:
        """The command line's option for it."""
        return "--" + self.name.removesuffix("_seconds").removesuffix("_bytes").removesuffix(
            "_percent"
        ).replace("_", "-")

    @property
    def maximum_setting(self) -> str:
        """The setting that bounds it."""
        return MAXIMUM_OF[self.setting]

    def default(self, settings: Settings) -> float:
        """Return what a hook has that says nothing."""
        value: float = getattr(settings, self.setting)
        return value

    def maximum(self, settings: Settings) -> float:
        """Return the most that a hook may have."""
        value: float = getattr(settings, self.maximum_setting)
        return value

    def effective(self, settings: Settings, own: Mapping[str, float]) -> float:
        """Return what a hook has, given its own limits by name.

        The maximum is applied here, too: the operator may have lowered it since the hook's own value was accepted.
        """
        value = min(own.get(self.name, self.default(settings)), self.maximum(settings))
        return int(value) if self.whole else float(value)

    def text_of(self, value: float) -> str:
        """Return a value as people write it, without its unit."""
        return str(int(value)) if self.whole else f"{value:g}"


def unit_of(value: float, unit: str) -> str:
    """Return the unit as it stands after a value: one connection, two connections."""
    return unit.removesuffix("s") if value == 1 else unit


_MIB = 1024 * 1024

KINDS: tuple[LimitKind, ...] = (
    LimitKind(
        name="wall_time_seconds",
        field="wall_seconds",
        setting="wall_time_limit_seconds",
        unit="seconds",
        minimum=0.1,
        of_process=False,
        whole=False,
        meaning="From the hook's start to its cb().",
    ),
    LimitKind(
        name="grace_seconds",
        field="grace_seconds",
        setting="grace_limit_seconds",
        unit="seconds",
        minimum=0.0,
        of_process=False,
        whole=False,
        meaning="For work that goes on after cb().",
    ),
    LimitKind(
        name="console_bytes",
        field="console_bytes",
        setting="max_console_bytes",
        unit="bytes",
        minimum=0,
        of_process=False,
        whole=True,
        meaning="Console output that is kept of an attempt.",
    ),
    LimitKind(
        name="result_bytes",
        field="result_bytes",
        setting="max_result_bytes",
        unit="bytes",
        minimum=2,
        of_process=False,
        whole=True,
        meaning="Largest answer to cb(), as JSON.",
    ),
    LimitKind(
        name="memory_bytes",
        field="memory_bytes",
        setting="memory_limit_bytes",
        unit="bytes",
        minimum=64 * _MIB,
        of_process=True,
        whole=True,
        meaning="Memory of its process.",
    ),
    LimitKind(
        name="threads",
        field="threads",
        setting="max_threads_per_process",
        unit="threads",
        minimum=24,
        of_process=True,
        whole=True,
        meaning="Threads of its process, Node's own dozen included.",
    ),
    LimitKind(
        name="open_files",
        field="open_files",
        setting="max_open_files",
        unit="files",
        minimum=64,
        of_process=True,
        whole=True,
        meaning="Files and connections that its process has open at a time.",
    ),
    LimitKind(
        name="scratch_bytes",
        field="scratch_bytes",
        setting="scratch_bytes",
        unit="bytes",
        minimum=65_536,
        of_process=True,
        whole=True,
        meaning="Size of /tmp in its process.",
    ),
    LimitKind(
        name="connections",
        field="max_connections",
        setting="max_connections",
        unit="connections",
        minimum=1,
        of_process=True,
        whole=True,
        meaning="Outgoing connections of its process at a time.",
    ),
    LimitKind(
        name="cpu_percent",
        field="cpu_percent",
        setting="cpu_percent",
        unit="percent",
        minimum=5,
        of_process=True,
        whole=True,
        meaning="Processor time of its process, in percent of one processor.",
    ),
)
"""In the order in which they are shown."""

KIND_OF: Mapping[str, LimitKind] = {kind.name: kind for kind in KINDS}
