"""What protects hooks on this host, for whoever has to know: the start-up line, ``/health``, ``doctor``, the worker.

| tier | what holds                                                        | hooks                                    |
| ---- | ----------------------------------------------------------------- | ---------------------------------------- |
| 1    | namespaces, system-call filter, connect gate, cgroup              | run                                      |
| 2    | the same without a cgroup: limits are the kernel's per process    | run                                      |
| 3    | gate mode: no namespaces; filter, gate and Landlock               | run                                      |
| 0    | less than that                                                    | do not run; their runs wait              |

A host's tier is found once, by trying (``jail/probing.py``). With the unsafe setting hooks run on tier 0 too; every
attempt then carries the mark ``unsandboxed``. On the other tiers that setting changes nothing.
"""

from __future__ import annotations

import dataclasses
from functools import cache

from tenterhook.errors import TenterhookError
from tenterhook.sandbox.jail.probing import Layer, Probe, probe
from tenterhook.settings import environment_name

UNSAFE_SETTING = environment_name("unsafe_run_hooks_without_sandbox")

_TIERS = {
    1: "namespaces, filter, gate and cgroup",
    2: "namespaces, filter and gate; no cgroup",
    3: "gate mode: filter, gate and Landlock; no namespaces",
    0: "no sandbox can be made here",
}


class SandboxRefusedError(TenterhookError):
    """Hooks do not run on this server, because no sandbox can be made there; its operator sees why with `tenterhook doctor`."""

    code = "sandbox_refused"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SandboxStatus:
    """What protects hooks on this host, and whether they may run without."""

    tier: int
    layers: tuple[Layer, ...]
    unsafe: bool = False
    """Whether the operator lets hooks run where there is no sandbox."""

    @classmethod
    def of(cls, probed: Probe, *, unsafe: bool) -> SandboxStatus:
        """Join what probing found and what the operator set."""
        return cls(tier=probed.tier, layers=probed.layers, unsafe=unsafe)

    @property
    def missing(self) -> tuple[Layer, ...]:
        """The layers that do not hold here."""
        return tuple(layer for layer in self.layers if not layer.available)

    @property
    def hooks_run(self) -> bool:
        """Whether hooks are executed at all."""
        return self.tier > 0 or self.unsafe

    @property
    def unsandboxed(self) -> bool:
        """Whether hooks are executed without a sandbox; every attempt then says so."""
        return self.tier == 0 and self.unsafe

    @property
    def meaning(self) -> str:
        """The tier in a few words."""
        return _TIERS[self.tier]

    @property
    def refusal(self) -> str | None:
        """Why hooks do not run, for their authors; None where they do. Names layers, tells nothing of the host."""
        if self.hooks_run:
            return None
        missing = ", ".join(layer.name for layer in self.missing)
        return (
            "Hooks do not run on this server, because no sandbox can be made there"
            + (f" (missing: {missing})" if missing else "")
            + ". Their runs wait, and nothing is lost. Its operator sees more with `tenterhook doctor`."
        )

    def lines(self) -> list[str]:
        """Return what a start-up shows: one line, and for each layer that is missing another."""
        missing = [f"  without {layer.name}: {layer.lost}" for layer in self.missing]
        if self.tier == 1 and not missing:
            return ["Sandbox: tier 1 (all layers)"]
        if self.tier > 0:
            return [f"Sandbox: tier {self.tier} ({self.meaning})", *missing]
        if self.unsafe:
            return [
                f"Sandbox: NONE, AND HOOKS RUN ALL THE SAME ({UNSAFE_SETTING}). Every run is marked unsandboxed.",
                *missing,
            ]
        return [
            "Sandbox: NONE. HOOKS DO NOT RUN; their runs wait. `tenterhook doctor` says what to do.",
            *missing,
        ]


@cache
def _probed() -> Probe:
    found = probe()
    # A worker believes this for all its life: on a machine that was out of breath, a second look is worth a second.
    return found if found.tier else probe()


def status_of_this_host(*, unsafe: bool) -> SandboxStatus:
    """Return what protects hooks here; blocks for the tries, once per process."""
    return SandboxStatus.of(_probed(), unsafe=unsafe)


__all__ = [
    "UNSAFE_SETTING",
    "SandboxRefusedError",
    "SandboxStatus",
    "status_of_this_host",
]
