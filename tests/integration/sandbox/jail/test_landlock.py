"""Landlock in the kernel: a child confines itself and then tries."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from tenterhook.sandbox.jail import landlock
from tenterhook.sandbox.jail.landlock import FileRight, NetworkRight, Scope, handled
from tests.integration.sandbox.jail.forked import error_of, in_child

EACCES = errno.EACCES


@pytest.fixture
def places(tmp_path):
    """Four folders with a file each: to run, to read, to write, and one that is not granted."""
    for name in ("run", "read", "write", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("#!/bin/sh\n")
        (tmp_path / name / "file").chmod(0o755)
    return tmp_path


def _restrict(places: Path) -> None:
    landlock.restrict(
        executable=[str(places / "run")], readable=[str(places / "read")], writable=[str(places / "write")]
    )


def _all_errors(folder: Path, elsewhere: Path) -> dict[str, int]:
    return {
        "read": error_of(lambda: open(folder / "file", "rb").close()),
        "list": error_of(lambda: os.listdir(folder)),
        "write": error_of(lambda: open(folder / "file", "ab").close()),
        "truncate": error_of(lambda: os.truncate(folder / "file", 0)),
        "create": error_of(lambda: open(folder / "new", "xb").close()),
        "mkdir": error_of(lambda: os.mkdir(folder / "dir")),
        "symlink": error_of(lambda: os.symlink("x", folder / "link")),
        "fifo": error_of(lambda: os.mkfifo(folder / "fifo")),
        "refer": error_of(lambda: os.link(folder / "file", elsewhere / "linked")),
        "remove": error_of(lambda: os.unlink(folder / "file")),
        "execute": error_of(lambda: os.execve(folder / "file", ["file"], {})) if folder.name != "run" else 0,
    }


def test_what_is_granted_can_be_done_and_nothing_else(places):
    def body(name):
        _restrict(places)
        return _all_errors(places / name, places / "other")

    refused = dict.fromkeys(("write", "truncate", "create", "mkdir", "symlink", "fifo", "remove"), EACCES)
    beyond = {"refer": errno.EXDEV}
    readable = {"read": 0, "list": 0, **refused}
    assert in_child(lambda: body("read")).items() >= {**readable, "execute": EACCES}.items()
    assert in_child(lambda: body("run")).items() >= readable.items()
    none = in_child(lambda: body("other"))
    assert all(none.values()), none
    written = in_child(lambda: body("write"))
    expected = dict.fromkeys(written, 0) | {"fifo": EACCES, "execute": written["execute"]}
    assert written | {"refer": 0} == expected | {"refer": 0}
    assert written["execute"] != 0
    assert written["refer"] in {EACCES, *beyond.values()}


def test_without_landlock_all_of_it_can_be_done(places):
    errors = in_child(lambda: _all_errors(places / "other", places / "read"))
    del errors["execute"]  # it was removed before
    assert set(errors.values()) == {0}


def test_an_executable_place_runs(places):
    import shutil

    shutil.copy("/bin/true", places / "run" / "true")
    libraries = [each for each in ("/lib", "/lib64", "/usr/lib", "/usr/lib64") if Path(each).exists()]

    def body():
        landlock.restrict(executable=[str(places / "run"), *libraries], readable=["/etc"])
        pid = os.fork()
        if pid == 0:
            os.execve(places / "run" / "true", ["true"], {})
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert in_child(body) == 0


def test_a_single_file_can_be_granted(places):
    def body():
        landlock.restrict(readable=[str(places / "read" / "file")], writable=["/dev/null"])
        return [
            error_of(lambda: open(places / "read" / "file", "rb").close()),
            error_of(lambda: os.listdir(places / "read")),
            error_of(lambda: open("/dev/null", "wb").close()),
            error_of(lambda: open("/dev/zero", "rb").close()),
        ]

    assert in_child(body) == [0, EACCES, 0, EACCES]


def test_a_missing_place_is_an_error(places):
    assert (
        in_child(lambda: error_of(lambda: landlock.restrict(readable=[str(places / "no")]))) == errno.ENOENT
    )


def test_no_port_can_be_bound_or_connected():
    server = socket.create_server(("127.0.0.1", 0))

    def body():
        landlock.restrict()
        with socket.socket() as client, socket.socket() as other:
            return [
                error_of(lambda: client.connect(server.getsockname())),
                error_of(lambda: other.bind(("127.0.0.1", 0))),
            ]

    with server:
        assert in_child(body) == [EACCES, EACCES]


def test_signals_and_abstract_sockets_stay_inside():
    name = f"\0tenterhook-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(name)
        server.listen()

        def attempts():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                return [
                    error_of(lambda: client.connect(name)),
                    error_of(lambda: os.kill(os.getppid(), 0)),
                    error_of(lambda: os.kill(os.getpid(), 0)),
                ]

        def body():
            landlock.restrict()
            return attempts()

        assert in_child(body) == [errno.EPERM, errno.EPERM, 0]
        assert in_child(attempts) == [0, 0, 0]


def test_the_restriction_cannot_be_taken_back(places):
    def body():
        landlock.restrict(readable=[str(places / "read")])
        landlock.restrict(readable=[])
        return error_of(lambda: os.listdir(places / "read"))

    assert in_child(body) == EACCES


def test_everything_this_kernel_knows_is_handled():
    version = landlock.abi_version()
    found = handled()
    assert version >= 4, "this test machine is to have Landlock with ports"
    first = FileRight.EXECUTE
    for right in FileRight:
        since = {FileRight.REFER: 2, FileRight.TRUNCATE: 3, FileRight.IOCTL_DEV: 5, FileRight.RESOLVE_UNIX: 9}
        assert (right in found.files) == (version >= since.get(right, 1)), right
    assert first in found.files
    assert NetworkRight.BIND_TCP in found.network and NetworkRight.CONNECT_TCP in found.network
    assert (Scope.SIGNAL in found.scopes) == (Scope.ABSTRACT_UNIX_SOCKET in found.scopes) == (version >= 6)


def test_attribute_is_as_short_as_the_kernel_demands():
    none = landlock.Handled(files=FileRight(1), network=NetworkRight(0), scopes=Scope(0))
    assert len(none.pack()) == 8
    assert len(dataclasses.replace(none, network=NetworkRight.BIND_TCP).pack()) == 16
    assert len(dataclasses.replace(none, scopes=Scope.SIGNAL).pack()) == 24


def test_a_killed_child_is_told_apart():
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)) == {"killed by": -signal.SIGKILL}
