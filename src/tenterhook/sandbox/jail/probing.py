"""Which layers of the jail this host can build: found by trying each one, never by a version's number.

    host ─► a Python of its own (``python -I -S``; the host has threads and cannot fork in safety)
              └─► one forked child for each layer, which tries it and says how it went (``trying.py``)

| tier | what is demanded                                                                                    |
| ---- | --------------------------------------------------------------------------------------------------- |
| 1    | what tier 2 demands, and the three cgroup layers                                                    |
| 2    | a user of its own, the five namespaces, filter, notification, no new privileges, the death signal   |
| 3    | gate mode: filter, notification, Landlock with ports, no new privileges, the death signal; as root  |
|      | a uid of its own, for hooks never run as root                                                       |
| 0    | less than that: hooks are refused                                                                   |

Why gate mode demands Landlock with ports (version 4, Linux 6.7) and the namespaced tiers do not: without a tree of its
own a process names the host's files, and only Landlock says no. Without a network of its own every socket is one of the
host's; should a call ever slip past the notification, only Landlock's second lock on TCP is left. With namespaces both
are the namespaces' work, and Landlock repeats it.

Why all demand the notification: connect(2) is judged by a supervisor who reads the address from the process's memory and
hands the connected socket in. There is no weaker way to let a hook reach one address and not another.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess

from tenterhook.sandbox.jail import bare_python

TIME_LIMIT_SECONDS = 60.0
"""For all tries together. They take a quarter of a second; a machine that needs longer than this has other worries."""

ALWAYS = frozenset({"no_new_privileges", "parent_death_signal", "seccomp_filter", "seccomp_notification"})
"""What every tier but 0 demands."""
NAMESPACED = frozenset(
    {"mount_namespace", "pid_namespace", "network_namespace", "ipc_namespace", "uts_namespace"}
)
CGROUPS = frozenset({"cgroup_memory", "cgroup_pids", "cgroup_cpu"})
GATE = frozenset({"landlock", "landlock_ports"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the jail, as the try found it."""

    name: str
    """Stable, such as ``landlock``."""
    available: bool
    """It was tried, and did what it is for."""
    detail: str
    """What the try saw: a version, or what the kernel said. For the operator alone."""
    lost: str
    """What is lost without it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """What this host can build."""

    tier: int
    """1, 2, 3 or 0; see the table above."""
    layers: tuple[Layer, ...]
    """In the order in which they matter."""


def probe() -> Probe:
    """Try every layer. Blocks for about a quarter of a second, and may be called from a process with threads."""
    try:
        done = subprocess.run(
            bare_python.argv("tenterhook.sandbox.jail.trying", "main()"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env={},
            timeout=TIME_LIMIT_SECONDS,
            check=True,
        )
        answer = json.loads(done.stdout)
        layers = tuple(Layer(**layer) for layer in answer["layers"])
        is_root = bool(answer["root"])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None) or b""
        detail = f"{error} {bytes(said)[-2000:].decode(errors='replace')}".strip()
        nothing = Layer(
            name="probe", available=False, detail=detail, lost="What this host can build is not known."
        )
        return Probe(tier=0, layers=(nothing,))
    available = frozenset(layer.name for layer in layers if layer.available)
    return Probe(tier=tier_of(available, is_root=is_root), layers=layers)


def tier_of(available: frozenset[str], *, is_root: bool) -> int:
    """Return the tier that these layers make."""
    own_user = "own_uid" if is_root else "user_namespace"
    if not available >= ALWAYS:
        return 0
    if available >= NAMESPACED | {own_user}:
        return 1 if available >= CGROUPS else 2
    if available >= GATE and (not is_root or own_user in available):
        return 3
    return 0
