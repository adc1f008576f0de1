"""The program itself, as an operator starts it: a real process on a real data folder, spoken to over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

TENTERHOOK = str(Path(sys.executable).with_name("tenterhook"))
"""The command beside the Python that runs the tests."""
_READY = re.compile(r"^Listening on (\S+)$", re.MULTILINE)
PASSWORD = "Correct-Horse-7-Battery"
CONNECTION = "Username-Password-Authentication"


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without settings of Tenterhook's, and with the changes."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TENTERHOOK_", "DATABASE_"))
    }
    return kept | {"COLUMNS": "200"} | changes


class Program:
    """One data folder, and the server on it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.environment = environment(
            **{"TENTERHOOK_DATA_DIR": str(self.data), "TENTERHOOK_PORT": "0", **settings}
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def command(self, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        done = subprocess.run(
            [TENTERHOOK, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def init(self) -> dict:
        """Make what is missing and return what ``init --json`` says."""
        return json.loads(self.command("init", "--json").stdout)

    def start(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a program that goes on, its output in a file."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [TENTERHOOK, command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def serve(self, command: str = "serve") -> None:
        """Start the server and wait until it says that it listens."""
        self.process = self.start(command, self.log)
        until = time.monotonic() + 90
        while not (found := _READY.search(self.log.read_text(errors="replace"))):
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < until, self.log.read_text(errors="replace")
            time.sleep(0.05)
        self.url = found[1]

    def stop(self) -> int:
        """Stop it as a service manager does and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def kill_everything(self) -> int:
        """``kill -9`` the server, its Node processes and the whole database, all at once; return how many."""
        pids = _family({self.process.pid, self.postmaster()})
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        return len(pids)

    def postmaster(self) -> int:
        """Return the process id of the embedded database, -1 while it has none."""
        try:
            return int((self.data / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        except FileNotFoundError:
            return -1

    def close(self) -> None:
        """Leave nothing running, however the test ended."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.kill_everything()
            return
        with contextlib.suppress(OSError, ValueError):
            postmaster = self.postmaster()
            if str(self.data / "postgres") in Path(f"/proc/{postmaster}/environ").read_text(
                errors="replace"
            ) + Path(f"/proc/{postmaster}/cmdline").read_text(errors="replace"):
                for pid in _family({postmaster}):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    async def management(self, initialized: dict) -> httpx.AsyncClient:
        """Return a client of the management API."""
        management = initialized["management"]
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as plain:
            answer = await plain.post(
                "/oauth/token",
                json={
                    "grant_type": "client_credentials",
                    "audience": f"{initialized['public_url']}/api/v2/",
                    **management,
                },
            )
        assert answer.status_code == 200, answer.text
        return httpx.AsyncClient(
            base_url=self.url,
            timeout=60,
            headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
        )


def _family(roots: set[int]) -> list[int]:
    """Return the processes and all that descend from them."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid for pid in roots if pid in parents]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid and child not in found)
    return found
