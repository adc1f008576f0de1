"""An npm registry on loopback that serves real archives and misbehaves on request.

It speaks what npm needs: ``GET /<name>`` (the description, scopes written ``@scope%2fname``) and ``GET
/<name>/-/<file>`` (an archive). Publication times belong to the test; everything is years old unless it says
otherwise. A module the registry does not have is 404, as is one that a test hid.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.registry.packages import integrity_of, packages

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@functools.cache
def _manifest_of(archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name.count("/") == 1 and member.name.endswith("/package.json"):
                file = opened.extractfile(member)
                if file is not None:
                    return json.load(file)
    raise ValueError(f"{archive} has no package.json")


@functools.cache
def _archive_bytes(archive: Path) -> bytes:
    return archive.read_bytes()


class NpmRegistry:
    """The registry; start it with :func:`running`."""

    def __init__(self) -> None:
        self.url = ""
        """With a slash at the end, as npm wants it."""
        self.requests: list[str] = []
        """Every path asked for, in order."""
        self.with_times = True
        """False: descriptions have no publication times, as some private registries answer."""
        self._archives: dict[tuple[str, str], tuple[dict[str, Any], bytes, str]] = {}
        self._times: dict[tuple[str, str], datetime] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._hidden: set[str] = set()
        self._stalled: set[str] = set()
        self._ended = threading.Event()
        self.stall_reached = threading.Event()
        """Set when somebody asks for something that is stalled."""
        for package in packages():
            if not package.archive.is_file():
                raise RuntimeError(
                    f"{package.archive.name} is missing: run `make setup` (or tests/registry/fetch.py) once, with network."
                )
            self._archives[package.name, package.version] = (
                _manifest_of(package.archive),
                _archive_bytes(package.archive),
                package.integrity,
            )

    @property
    def environment(self) -> dict[str, str]:
        """Return what makes npm, and a Tenterhook started with it, use this registry."""
        return {"npm_config_registry": self.url}

    def publish(
        self,
        name: str,
        version: str,
        files: Mapping[str, str] | None = None,
        *,
        published: datetime = LONG_AGO,
        with_hash: bool = True,
        **manifest: Any,
    ) -> None:
        """Add a module made up by the test; ``manifest`` goes into its package.json."""
        described = {"name": name, "version": version, **manifest}
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as opened:
            for path, text in {"package.json": json.dumps(described), **(files or {})}.items():
                member = tarfile.TarInfo(f"package/{path}")
                member.size = len(text.encode())
                opened.addfile(member, io.BytesIO(text.encode()))
        data = archive.getvalue()
        self._archives[name, version] = (described, data, integrity_of(data) if with_hash else "")
        self._times[name, version] = published

    def set_published(self, name: str, version: str, moment: datetime) -> None:
        """Say when a version was published."""
        self._times[name, version] = moment

    def set_tag(self, name: str, tag: str, version: str) -> None:
        """Point a tag at a version; ``latest`` is the newest published otherwise."""
        self._tags.setdefault(name, {})[tag] = version

    def hide(self, name: str) -> None:
        """Have a module no more."""
        self._hidden.add(name)

    def hide_version(self, name: str, version: str) -> None:
        """Have one version no more."""
        del self._archives[name, version]

    def flip(self, name: str, version: str) -> None:
        """Serve an archive with one byte changed, but describe the true one."""
        manifest, data, integrity = self._archives[name, version]
        middle = len(data) // 2
        damaged = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
        self._archives[name, version] = (manifest, damaged, integrity)

    def truncate(self, name: str, version: str) -> None:
        """Serve half of an archive, and describe that half truthfully: a broken upload."""
        manifest, data, _integrity = self._archives[name, version]
        half = data[: len(data) // 2]
        self._archives[name, version] = (manifest, half, integrity_of(half))

    def stall(self, name: str) -> None:
        """Never answer when asked for a module."""
        self._stalled.add(name)

    def resume(self, name: str) -> None:
        """Answer new questions about a stalled module again."""
        self._stalled.discard(name)

    def end(self) -> None:
        """Let stalled connections go."""
        self._ended.set()

    def answer(self, path: str) -> tuple[int, bytes, str]:
        """Return status, body and content type for a path."""
        self.requests.append(unquote(path))
        name, _separator, file = unquote(path).lstrip("/").partition("/-/")
        if name in self._stalled:
            self.stall_reached.set()
            self._ended.wait()
            return 503, b"", "text/plain"
        versions = [version for known, version in self._archives if known == name]
        if name in self._hidden or not versions:
            return 404, b'{"error":"Not found"}', "application/json"
        if not file:
            return 200, json.dumps(self._describe(name, versions)).encode(), "application/json"
        version = file.removesuffix(".tgz")
        if (name, version) not in self._archives:
            return 404, b'{"error":"Not found"}', "application/json"
        return 200, self._archives[name, version][1], "application/octet-stream"

    def _describe(self, name: str, versions: list[str]) -> dict[str, Any]:
        described = {}
        for version in versions:
            manifest, data, integrity = self._archives[name, version]
            dist = {"tarball": f"{self.url}{name}/-/{version}.tgz"}
            if integrity:
                dist |= {"integrity": integrity, "shasum": hashlib.sha1(data).hexdigest()}
            # Real registries say so; npm asks no further when they do not.
            scripts = manifest.get("scripts", {})
            has_script = any(kind in scripts for kind in ("preinstall", "install", "postinstall"))
            described[version] = {
                **manifest,
                "dist": dist,
                **({"hasInstallScript": True} if has_script else {}),
            }
        newest = max(versions, key=lambda version: [int(part) for part in version.split("-")[0].split(".")])
        description = {
            "_id": name,
            "name": name,
            "dist-tags": {"latest": newest, **self._tags.get(name, {})},
            "versions": described,
        }
        if self.with_times:
            times = {version: self._times.get((name, version), LONG_AGO) for version in versions}
            description["time"] = {
                "created": min(times.values()).isoformat(),
                "modified": max(times.values()).isoformat(),
                **{version: moment.isoformat() for version, moment in times.items()},
            }
        return description


@contextlib.contextmanager
def running() -> Iterator[NpmRegistry]:
    """Serve a registry on a free port until the end."""
    registry = NpmRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, content_type = registry.answer(self.path)
            # npm that was killed, as it should be, does not wait for the answer.
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    registry.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield registry
    finally:
        registry.end()
        server.shutdown()
        thread.join()
        server.server_close()
