"""What a process has been given: the module sets that it can read, and the policy for its connections.

A warm process starts with nothing, and connects to nothing. Whoever sends it a run has what the run needs granted
first; a grant that fails leaves the process half prepared, so it takes no more runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenterhook import egress
from tenterhook.sandbox.child import Child
from tenterhook.sandbox.ground import Layout


class Belongings:
    """Those of one process; on the event loop."""

    def __init__(
        self, child: Child, layout: Layout, modules: frozenset[str], *, on_failure: Callable[[], None]
    ) -> None:
        """``modules`` are the sets that it was started with, as paths of the host."""
        self._child = child
        self._layout = layout
        self._modules = set(modules)
        self._policy: egress.Policy | None = None
        self._granting: set[asyncio.Task[None]] = set()
        self._on_failure = on_failure

    def set_policy(self, policy: egress.Policy) -> None:
        """Note what it may connect to, from its next run on; so far it was nobody's."""
        self._policy = policy

    def can_have(self, modules: frozenset[str]) -> bool:
        """Whether it can read these module sets, or come to."""
        return self._layout.mounts_later or modules <= self._modules

    async def grant(self, modules: frozenset[str]) -> None:
        """Make the module sets readable and the policy effective; return when that is so.

        Raises:
            SandboxUnavailableError: it ended meanwhile, or a module set has gone.
        """
        missing = modules - self._modules
        if missing or self._policy is not None:
            policy, self._policy = self._policy, None
            self._modules |= missing
            task = asyncio.get_running_loop().create_task(self._child.assign(policy, sorted(missing)))
            self._granting.add(task)
            task.add_done_callback(self._on_granted)
        for task in list(self._granting):
            await asyncio.shield(task)

    def _on_granted(self, task: asyncio.Task[None]) -> None:
        self._granting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._on_failure()
