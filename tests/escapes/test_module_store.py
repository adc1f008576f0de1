"""A module cannot bring links, devices or paths that lead out of the store: neither gets into it.

That a link inside a set leads nowhere for a hook, too, is among the attempts.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tenterhook.sandbox.modules import BrokenModuleError, ModuleStore
from tests.integration.sandbox.modules.conftest import clock, make_store, store
from tests.registry.fixture import npm_registry
from tests.registry.packages import integrity_of
from tests.registry.server import NpmRegistry

__all__ = ["clock", "make_store", "npm_registry", "store"]

_MANIFEST = b'{"name": "hostile", "version": "1.0.0"}'


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, *, target: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, mode
    return member


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("a secret of the host")
    file.chmod(0o600)
    return file


def _publish(registry: NpmRegistry, members: list[tarfile.TarInfo]) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        manifest = _member("package/package.json")
        manifest.size = len(_MANIFEST)
        opened.addfile(manifest, io.BytesIO(_MANIFEST))
        for member in members:
            member.size = 6 if member.isreg() else 0
            opened.addfile(member, io.BytesIO(b"secret") if member.isreg() else None)
    registry.publish("hostile", "1.0.0")
    described, _data, _integrity = registry._archives["hostile", "1.0.0"]
    registry._archives["hostile", "1.0.0"] = (described, archive.getvalue(), integrity_of(archive.getvalue()))


@pytest.mark.parametrize(
    "kind",
    [
        "symbolic link",
        "link to a folder",
        "hard link",
        "way out",
        "absolute path",
        "device",
        "pipe",
        "set-uid",
        "link and through it",
    ],
)
async def test_hostile_archive_leaves_nothing_but_files(
    kind: str, store: ModuleStore, npm_registry: NpmRegistry, secret: Path, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    members = {
        "symbolic link": [_member("package/link", tarfile.SYMTYPE, target=str(secret))],
        "link to a folder": [_member("package/folder", tarfile.SYMTYPE, target=str(tmp_path))],
        "hard link": [_member("package/hard", tarfile.LNKTYPE, target=str(secret))],
        "way out": [_member(f"package/{'../' * 20}{str(planted).lstrip('/')}")],
        "absolute path": [_member(str(planted))],
        "device": [_member("package/device", tarfile.CHRTYPE)],
        "pipe": [_member("package/pipe", tarfile.FIFOTYPE)],
        "set-uid": [_member("package/tool", mode=0o6755)],
        "link and through it": [
            _member("package/folder", tarfile.SYMTYPE, target=str(tmp_path)),
            _member("package/folder/planted"),
        ],
    }[kind]
    _publish(npm_registry, members)
    resolution = await store.resolve("require('hostile')", {})
    try:
        installed = await store.install(resolution)
    except BrokenModuleError:
        installed = None
    assert not planted.exists()
    assert secret.read_text() == "a secret of the host"
    assert secret.stat().st_mode & 0o777 == 0o600
    if installed is not None:
        for path in (tmp_path / "modules" / "store").rglob("*"):
            assert not path.is_symlink(), path
            assert path.is_dir() or path.is_file(), path
            assert not path.is_file() or (path.stat().st_nlink == 1 and path.stat().st_mode & 0o7222 == 0), (
                path
            )
