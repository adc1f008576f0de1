"""What this machine has that some rows of the table need."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import subprocess

from tenterhook.sandbox import find_node
from tests.escapes import addon
from tests.escapes.attempt import Need

_X32_GETPID = 0x40000000 | 39


@functools.cache
def has(need: Need) -> bool:
    """Say whether it is there."""
    match need:
        case Need.ROOT:
            return os.geteuid() == 0
        case Need.X32:
            return platform.machine() == "x86_64" and ctypes.CDLL(None).syscall(_X32_GETPID) > 0
        case Need.IA32:
            program = f"process.exit(require({str(addon.build())!r}).native.int80(20) > 0 ? 0 : 1)"
            return (
                platform.machine() == "x86_64"
                and subprocess.run([find_node().path, "-e", program], check=False).returncode == 0
            )
