"""Sandbox: runs a piece of user JavaScript with limits, in a Node process of its tenant.

async with SandboxPool.from_settings(settings, readable_dirs=(modules_dir,)) as pool:
    execution = await pool.run(tenant_key, script, invocation, limits=limits, storage=storage, observer=observer)
"""

from __future__ import annotations

from tenterhook.sandbox.child import SandboxUnavailableError
from tenterhook.sandbox.execution import (
    Call,
    ConnectionAttempt,
    ConsoleLine,
    ErrorCode,
    Execution,
    HookError,
    Observer,
    Outcome,
    Verdict,
)
from tenterhook.sandbox.limit_kinds import KIND_OF, KINDS, LimitKind
from tenterhook.sandbox.limits import Confinement, LimitHit, Limits
from tenterhook.sandbox.masking import NO_SECRETS, Masker, masker_of
from tenterhook.sandbox.node_binary import NodeBinary, find_node
from tenterhook.sandbox.pool import PoolStatus, SandboxPool
from tenterhook.sandbox.script import Invocation, Json, Script, Webtask
from tenterhook.sandbox.status import SandboxRefusedError, SandboxStatus, status_of_this_host
from tenterhook.sandbox.storage import MemoryStorage, Storage, StorageConflictError

__all__ = [
    "KINDS",
    "KIND_OF",
    "NO_SECRETS",
    "Call",
    "Confinement",
    "ConnectionAttempt",
    "ConsoleLine",
    "ErrorCode",
    "Execution",
    "HookError",
    "Invocation",
    "Json",
    "LimitHit",
    "LimitKind",
    "Limits",
    "Masker",
    "MemoryStorage",
    "NodeBinary",
    "Observer",
    "Outcome",
    "PoolStatus",
    "SandboxPool",
    "SandboxRefusedError",
    "SandboxStatus",
    "SandboxUnavailableError",
    "Script",
    "Storage",
    "StorageConflictError",
    "Verdict",
    "Webtask",
    "find_node",
    "masker_of",
    "status_of_this_host",
]
