"""Run a program where no sandbox can be made: as on a kernel, or in a container, without seccomp and Landlock.

python without_sandbox.py PROGRAM ARGUMENT…

Done with a seccomp filter of its own, which every process below inherits: seccomp(2) and landlock_create_ruleset(2)
answer EPERM, as a container engine's profile has them answer. Nothing of Tenterhook knows of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
LANDLOCK_CREATE_RULESET = 444  # the same everywhere
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def refuse() -> None:
    """Install the filter for this process and all that it starts."""
    instructions = [
        (LOAD, 0, 0, 0),  # the call's number
        (EQUAL, 2, 0, SECCOMP),
        (EQUAL, 1, 0, LANDLOCK_CREATE_RULESET),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    program = ctypes.create_string_buffer(code)
    header = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if os.geteuid() != 0:  # root may without, and stays as it was
        libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), unused, unused, unused)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), header, unused, unused) != 0:
        sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    refuse()
    os.execv(sys.argv[1], sys.argv[1:])
