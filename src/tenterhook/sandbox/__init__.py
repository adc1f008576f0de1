"""Sandbox: runs a piece of user JavaScript with limits, in a Node process of its tenant.

async with SandboxPool.from_settings(settings, readable_dirs=(modules_dir,)) as pool:
    execution = await pool.run(tenant_key, script, invocation, limits=limits, storage=storage, observer=observer)
"""

from __future__ import annotations

from tenterhook.sandbox.execution import (
    Call,
    ConsoleLine,
    ErrorCode,
    Execution,
    HookError,
    Observer,
    Outcome,
    Verdict,
)
from tenterhook.sandbox.limits import LimitHit, Limits
from tenterhook.sandbox.node_binary import NodeBinary, find_node
from tenterhook.sandbox.pool import PoolStatus, SandboxPool
from tenterhook.sandbox.script import Invocation, Json, Script, Webtask
from tenterhook.sandbox.spawn import SandboxUnavailableError
from tenterhook.sandbox.storage import MemoryStorage, Storage, StorageConflictError

__all__ = [
    "Call",
    "ConsoleLine",
    "ErrorCode",
    "Execution",
    "HookError",
    "Invocation",
    "Json",
    "LimitHit",
    "Limits",
    "MemoryStorage",
    "NodeBinary",
    "Observer",
    "Outcome",
    "PoolStatus",
    "SandboxPool",
    "SandboxUnavailableError",
    "Script",
    "Storage",
    "StorageConflictError",
    "Verdict",
    "Webtask",
    "find_node",
]
