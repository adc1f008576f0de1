"""Bare Node, for comparison: the same runtime and the same frames, started without a jail by a process as small as the zygote.

    python -I -S bare_node.py NODE MAIN HEAP_MIB FRAME      prints one line of JSON for each line that it reads

Each time it starts Node, sends the run, waits until that has settled, reads what all this took, and ends Node. It ends with
its standard input. Nothing here waits for an event loop, so it is as fast as such a start can be.

It is as nice as hooks are: compared is what a start costs, not who comes first.
"""

import json
import os
import pathlib
import signal
import socket
import sys
import time


def processor_ns(pid: int) -> int:
    """Return the processor time of a process so far, all its threads."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks)


def wait_for(channel: socket.socket, kind: bytes) -> None:
    """Read until a message of this type has come."""
    seen = b""
    while kind not in seen:
        data = channel.recv(65536)
        if not data:
            raise SystemExit("Node has ended.")
        seen = seen[-len(kind) :] + data


def main() -> None:
    """Serve."""
    node, script, heap_mib, run = sys.argv[1:]
    body = run.encode()
    frame = len(body).to_bytes(4, "big") + body
    command = [node, f"--max-old-space-size={heap_mib}", "--no-warnings", script]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "TZ": "UTC", "LANG": "C.UTF-8"}
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.nice(5)
    for _line in sys.stdin:
        own = time.process_time_ns()
        began = time.perf_counter()
        ours, theirs = socket.socketpair()
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        actions += [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)]
        pid = os.posix_spawn(node, command, environment, file_actions=actions)
        theirs.close()
        ours.sendall(frame)
        wait_for(ours, b'"type":"settled"')
        took = time.perf_counter() - began
        used = processor_ns(pid) + time.process_time_ns() - own
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()
        print(json.dumps({"milliseconds": took * 1000, "processor_ms": used / 1e6}), flush=True)


main()
