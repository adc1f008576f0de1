"""Making Node processes: a uid, a plan, a child of the supervisor, and the object that talks with it."""

from __future__ import annotations

from collections.abc import Callable

from tenterhook import egress, uids
from tenterhook.clock import Clock
from tenterhook.sandbox.ground import Layout
from tenterhook.sandbox.jail.plan import Ground, Mode
from tenterhook.sandbox.jail.protections import Protection
from tenterhook.sandbox.limits import Confinement
from tenterhook.sandbox.process import NodeProcess
from tenterhook.sandbox.supervision import Supervision


class ProcessMaker:
    """Starts Node processes."""

    def __init__(
        self, ground: Ground, layout: Layout, supervision: Supervision, *, clock: Clock, max_frame_bytes: int
    ) -> None:
        self.layout = layout
        self._ground = ground
        self._supervision = supervision
        self._clock = clock
        self._max_frame_bytes = max_frame_bytes
        self._uids: set[int] = set()

    def make(
        self,
        confinement: Confinement,
        policy: egress.Policy,
        modules: frozenset[str],
        *,
        alone: bool,
        on_change: Callable[[NodeProcess], None],
    ) -> NodeProcess:
        """Start a process; it becomes ready by and by.

        Raises:
            SandboxUnavailableError: the system is out of processes or descriptors.
        """
        uid = None
        if self._ground.own_uids and self._ground.holds(Protection.OWN_UID):
            uid = uids.pick_random(besides=self._uids)
        plan = self.layout.plan(confinement, uid=uid, modules=sorted(modules))
        child = self._supervision.spawn(plan, policy, max_connections=confinement.max_connections)
        if uid is not None:
            self._uids.add(uid)
            child.exited.add_done_callback(lambda _: self._uids.discard(uid))
        return NodeProcess(
            child,
            self.layout,
            modules=modules,
            alone=alone,
            gated=self._ground.mode is not Mode.NONE and self._ground.holds(Protection.CONNECT_GATE),
            memory_bytes=confinement.memory_bytes,
            threads=confinement.threads,
            max_frame_bytes=self._max_frame_bytes,
            clock=self._clock,
            on_change=on_change,
        )
