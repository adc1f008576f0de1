"""The one thing that a running server tells the profile in its data folder: where it can be reached."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tenterhook.cli.profile import PROFILE_FILE_NAME, load_profile, save_profile


def record_server_url(data_dir: Path, url: str, ca_file: Path | None = None) -> None:
    """Point the data folder's profile, if there is one, to the address that the server really has.

    So that the command line finds it after ``--port``, ``--port 0`` and ``--tls-cert`` without being told again.
    """
    path = data_dir / PROFILE_FILE_NAME
    if not path.is_file():
        return
    profile = load_profile(path)
    if (profile.url, profile.ca_file) != (url, ca_file):
        save_profile(dataclasses.replace(profile, url=url, ca_file=ca_file), path)
