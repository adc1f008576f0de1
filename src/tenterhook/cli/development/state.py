"""What the stand-in for Slack must remember between two starts: ``development.json`` in the data folder.

The demo hook's code holds the catcher's URL, so the port and the secret part of the path stay the same for one data
folder. When another program has taken the port meanwhile, a new one is chosen and ``previous_url`` says which URL
hooks still hold.
"""

from __future__ import annotations

import json
import secrets
import socket
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenterhook.cli.failures import PortTakenError
from tenterhook.cli.listening import bind
from tenterhook.cli.profile import write_private

STATE_FILE_NAME = "development.json"
CATCHER_HOST = "127.0.0.1"
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


@dataclass(frozen=True, kw_only=True)
class CatcherState:
    """Where the stand-in for Slack is."""

    port: int
    path: str
    """``/services/T…/B…/…``, as Slack's own webhook URLs."""
    previous_url: str | None = None
    """The URL of the last start, if it was another."""

    @property
    def url(self) -> str:
        """The incoming webhook's URL."""
        return _url(self.port, self.path)


def bind_catcher(data_dir: Path) -> tuple[CatcherState, socket.socket]:
    """Return the catcher's place and a socket bound to it: the last start's port, if nobody has taken it."""
    path = data_dir / STATE_FILE_NAME
    stored = _read(path)
    port, webhook_path = stored or (0, _new_path())
    try:
        bound = bind(CATCHER_HOST, port)
    except PortTakenError:
        bound = bind(CATCHER_HOST, 0)
    state = CatcherState(
        port=bound.getsockname()[1],
        path=webhook_path,
        previous_url=_url(port, webhook_path) if stored else None,
    )
    if state.previous_url == state.url:
        state = CatcherState(port=state.port, path=state.path)
    write_private(path, json.dumps({"slack_port": state.port, "slack_path": state.path}, indent=2) + "\n")
    return state, bound


def _url(port: int, path: str) -> str:
    return f"https://{CATCHER_HOST}:{port}{path}"


def _new_path() -> str:
    token = "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(24))
    return f"/services/T00000000/B00000000/{token}"


def _read(path: Path) -> tuple[int, str] | None:
    """Return port and path of the last start; a file that somebody damaged counts as none."""
    try:
        content: Any = json.loads(path.read_text())
        port, webhook_path = content["slack_port"], content["slack_path"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(port, int) and 0 < port < 65536 and isinstance(webhook_path, str)):
        return None
    return port, webhook_path
