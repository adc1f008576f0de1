"""Reading a person's file, and editing a text in their own editor, never losing what they typed.

The editor's file lies in a private folder (mode 0700) until the text is saved elsewhere; when saving fails it stays.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenterhook.cli.failures import CommandError


def read_text(path: Path) -> str:
    """Return a file's text as it is, line ends included.

    Raises:
        CommandError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise CommandError(f"The file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"The file {path} is not UTF-8 text.") from error


class Draft:
    """What the editor left."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.is_saved = False

    def saved(self) -> None:
        """Say that the text is safe elsewhere, so that the file may go."""
        self.is_saved = True


@contextmanager
def edited(text: str, name: str) -> Iterator[Draft]:
    """Open the editor on a text and yield what came of it; the file goes unless an error leaves the block.

    Raises:
        CommandError: there is no editor, or it failed.
    """
    editor = _editor()
    folder = Path(tempfile.mkdtemp(prefix="tenterhook-edit-"))
    path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name) or 'hook'}.js"
    path.write_bytes(text.encode())
    keep = False
    try:
        try:
            subprocess.run([*editor, str(path)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            keep = path.read_bytes() != text.encode()
            hint = f" Your text is in {path}." if keep else ""
            raise CommandError(f"The editor {editor[0]} did not work: {error}.{hint}") from error
        draft = Draft(path, path.read_bytes().decode())
        keep = draft.text != text
        yield draft
        keep = keep and not draft.is_saved
    finally:
        if not keep:
            shutil.rmtree(folder)


def _editor() -> list[str]:
    """Return the editor's command line: VISUAL, EDITOR, else what usual systems have."""
    for variable in ("VISUAL", "EDITOR"):
        words = shlex.split(os.environ.get(variable, ""))
        if words:
            return words
    for program in ("sensible-editor", "nano", "vi"):
        if found := shutil.which(program):
            return [found]
    raise CommandError("There is no editor. Name one in the environment variable EDITOR.")
