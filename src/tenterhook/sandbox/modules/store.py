"""The store of npm modules: what a hook asks for becomes a read-only folder, once per machine.

    resolve   versions and a lock file; the only step that decides anything        network
    install   the set onto this machine; returns what the database keeps           network
    ensure    the set onto this machine from its lock file, as a worker does       network only for what npm's cache lacks

A set is identified by its requests and its lock file, and lies in a folder named after that, Node's ABI and the
processor. Every file was checked against the lock file's hashes when it was unpacked, and nobody may write there
afterwards. Nothing a package brings is run to install it; a module that needs a compiler installs and then fails at
``require``, which the run of the hook shows.

Any number of tasks and processes may use one folder. Whoever is killed leaves nothing that counts (``folders.py``).
Sets are not removed yet: :meth:`ModuleStore.clean` removes temporary folders only; remedy when it matters: remove the
sets that no enabled version of a hook uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

from tenterhook.clock import Clock, SystemClock
from tenterhook.sandbox.modules import folders
from tenterhook.sandbox.modules.dependencies import Wanted, asks_the_same, wanted_modules
from tenterhook.sandbox.modules.errors import (
    ModuleSetTooLargeError,
    ModuleTimeoutError,
    NpmFailedError,
)
from tenterhook.sandbox.modules.module_set import (
    InstalledSet,
    ModuleSet,
    Progress,
    Resolution,
    ResolvedModule,
    Stage,
    installed_names,
)
from tenterhook.sandbox.modules.npm import NODE, Npm, NpmFailure, translate
from tenterhook.sandbox.modules.requires import RequiredModules, required_modules
from tenterhook.sandbox.modules.resolution import (
    check_lock,
    choose_versions,
    locked_paths,
    make_lock,
    write_manifest,
)
from tenterhook.settings import Settings

ProgressCallback = Callable[[Progress], None]

_RESOLUTIONS_KEPT_SECONDS = 300.0
"""How long the same requests get the same answer without asking; npm trusts its own cache as long."""
_RESOLUTIONS_KEPT = 256
_COMPILES = (
    "require('vm').compileFunction(require('fs').readFileSync(0, 'utf8'), ['exports', 'require', 'module'])"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Remembered:
    until_seconds: float
    resolution: Resolution


class ModuleStore:
    """The npm modules of hooks on this machine."""

    def __init__(
        self,
        *,
        folder: Path,
        minimum_age_days: int = 7,
        timeout_seconds: float = 120.0,
        max_set_bytes: int = 250 * 1024 * 1024,
        registry: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take the store's folder (made when first needed) and its limits.

        ``registry`` is for tests and for operators who want another one than npm is configured for.
        """
        self._folder = folder.absolute()
        self._minimum_age_days = minimum_age_days
        self._timeout_seconds = timeout_seconds
        self._max_set_bytes = max_set_bytes
        self._clock = clock or SystemClock()
        self._npm = Npm(cache=self._folder / "npm-cache", registry=registry)
        self._platform: str | None = None
        self._whole: set[Path] = set()
        self._remembered: dict[tuple[Wanted, ...], _Remembered] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make the store that the settings describe."""
        return cls(
            folder=settings.data_dir / "modules",
            minimum_age_days=settings.module_minimum_age_days,
            timeout_seconds=settings.module_install_timeout_seconds,
            max_set_bytes=settings.max_module_set_bytes,
        )

    async def resolve(
        self,
        source: str,
        declared: Mapping[str, str],
        *,
        previous: ModuleSet | None = None,
        refresh: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Resolution:
        """Find versions for what a script and its ``dependencies`` ask for.

        ``previous`` is the set of the hook's last version: what it was asked for again stays as it is, and if nothing
        else is asked for, the network is not touched. ``refresh`` chooses everything anew. A script that does not
        compile asks for nothing.

        Raises:
            ModuleError: see ``errors.py``; a timeout is a ``ModuleTimeoutError``.
        """
        report = _Reporter(self._clock, progress)
        required = required_modules(source, allow_syntax_errors=True)
        if (required.problems or not required.parsed) and not await _compiles(source):
            required = RequiredModules()
        wanted = wanted_modules(required, declared)
        previous = ModuleSet() if previous is None or refresh else previous
        if not wanted or (asks_the_same(wanted, previous) and previous.lock):
            return Resolution(modules=previous.modules, lock=previous.lock) if wanted else Resolution()
        if not refresh and not previous.modules and (remembered := self._remembered_resolution(wanted)):
            return remembered
        if required.modules and not await _compiles(source):
            # The parser forgives what Node does not; such a script must not be refused for a module it names.
            return await self.resolve("", declared, previous=previous, refresh=refresh, progress=progress)
        report(Stage.RESOLVING)
        async with self._time_limit("The registry did not answer"), self._temporary_folder() as folder:
            resolution = await self._resolve(wanted, previous, folder)
        if not previous.modules:
            self._remember(wanted, resolution)
        return resolution

    async def install(self, resolution: Resolution, *, progress: ProgressCallback | None = None) -> ModuleSet:
        """Put a resolution's modules onto this machine and return what the database keeps of it.

        Raises:
            ModuleError: see ``errors.py``.
        """
        module_set = ModuleSet(modules=resolution.modules, lock=resolution.lock)
        await self.ensure(module_set, progress=progress)
        return module_set

    async def ensure(
        self, module_set: ModuleSet, *, progress: ProgressCallback | None = None
    ) -> InstalledSet:
        """Return the set's folder on this machine, installing it from its lock file if it is not there.

        A set without modules is an empty folder.

        Raises:
            ModuleError: see ``errors.py``.
        """
        report = _Reporter(self._clock, progress)
        target = self._folder / "store" / f"{module_set.key}-{await self._node_platform()}"
        if not await self._is_whole(target):
            async with self._time_limit("The modules were not there"):
                await self._install_once(module_set, target, report)
            self._whole.add(target)
        report(Stage.DONE)
        names = installed_names(module_set.modules)
        return InstalledSet(
            key=module_set.key,
            directory=target,
            require_map={
                specifier: target / "node_modules" / name for specifier, name in sorted(names.items())
            },
            require_names=dict(sorted(names.items())),
        )

    async def clean(self) -> int:
        """Remove what killed installers left; return how many there were. For the start of a process."""
        return await asyncio.to_thread(folders.remove_abandoned, self._folder / "tmp")

    async def _resolve(self, wanted: tuple[Wanted, ...], previous: ModuleSet, folder: Path) -> Resolution:
        oldest_allowed = self._clock.now() - timedelta(days=self._minimum_age_days)
        modules, notes, aged = await choose_versions(
            self._npm,
            wanted,
            previous=previous,
            oldest_allowed=oldest_allowed,
            minimum_age_days=self._minimum_age_days,
            folder=folder,
        )
        lock, more_notes = await make_lock(
            self._npm,
            modules,
            previous_lock=previous.lock,
            before=oldest_allowed if aged else None,
            folder=folder,
        )
        return Resolution(modules=modules, lock=lock, notes=notes + more_notes)

    def _remembered_resolution(self, wanted: tuple[Wanted, ...]) -> Resolution | None:
        remembered = self._remembered.get(wanted)
        fresh = remembered is not None and remembered.until_seconds > self._clock.monotonic_seconds()
        return remembered.resolution if remembered is not None and fresh else None

    def _remember(self, wanted: tuple[Wanted, ...], resolution: Resolution) -> None:
        now = self._clock.monotonic_seconds()
        self._remembered = {
            key: value for key, value in self._remembered.items() if value.until_seconds > now
        }
        if len(self._remembered) >= _RESOLUTIONS_KEPT:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[wanted] = _Remembered(
            until_seconds=now + _RESOLUTIONS_KEPT_SECONDS, resolution=resolution
        )

    async def _is_whole(self, target: Path) -> bool:
        """Look at every file once per process; later only whether the set is still there."""
        if target in self._whole and await asyncio.to_thread(target.is_dir):
            return True
        whole = await asyncio.to_thread(folders.is_whole, target)
        if whole:
            self._whole.add(target)
        return whole

    async def _install_once(self, module_set: ModuleSet, target: Path, report: _Reporter) -> None:
        (self._folder / "locks").mkdir(parents=True, exist_ok=True)
        lock_path = self._folder / "locks" / f"{module_set.key[:2]}.lock"
        async with _locked(lock_path, report):
            if await asyncio.to_thread(folders.is_whole, target):
                return
            async with self._temporary_folder() as temporary:
                folder = temporary / "set"
                folder.mkdir()
                await self._fill(folder, module_set, report)
                report(Stage.SEALING)
                await asyncio.to_thread(folders.seal, folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                await asyncio.to_thread(folders.publish, folder, target)

    async def _fill(self, folder: Path, module_set: ModuleSet, report: _Reporter) -> None:
        """Unpack a set's modules into a folder, watching the size."""
        if not module_set.modules:
            return
        check_lock(module_set.lock)
        write_manifest(folder, module_set.modules)
        (folder / "package-lock.json").write_text(module_set.lock)
        paths = locked_paths(module_set.lock)
        report(Stage.FETCHING, 0, len(paths))

        async def watch() -> None:
            await asyncio.to_thread(self._check_size, folder)
            done = await asyncio.to_thread(_count_unpacked, folder, paths)
            report(Stage.FETCHING, done, len(paths))

        await self._clean_install(folder, module_set.modules, watch)
        await watch()

    async def _clean_install(
        self, folder: Path, modules: tuple[ResolvedModule, ...], watch: Callable[[], Awaitable[None]]
    ) -> None:
        """Run ``npm ci``: first content with what the cache says, then asking the registry again.

        A cached description may be older than a version in the lock file.
        """
        try:
            try:
                await self._npm.run(
                    "ci", folder=folder, options=("--prefer-offline",), every_half_second=watch
                )
            except NpmFailure as failure:
                if failure.code not in {"ETARGET", "E404", "ENOVERSIONS"}:
                    raise
                await self._npm.run(
                    "ci", folder=folder, options=("--prefer-online",), every_half_second=watch
                )
        except NpmFailure as failure:
            names = ", ".join(f"{module.name} {module.version}" for module in modules)
            raise translate(failure, f"installing {names}") from failure

    def _check_size(self, folder: Path) -> None:
        size_bytes = folders.measure(folder).size_bytes
        if size_bytes > self._max_set_bytes:
            raise ModuleSetTooLargeError(
                f"Unpacked, the hook's modules are larger than {self._max_set_bytes} bytes. Use smaller ones, or ask the "
                "operator to raise TENTERHOOK_MAX_MODULE_SET_BYTES.",
                max_bytes=self._max_set_bytes,
            )

    @contextlib.asynccontextmanager
    async def _time_limit(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except TimeoutError as error:
            raise ModuleTimeoutError(
                f"{what} after {self._timeout_seconds:g} seconds; nothing was installed. Try again, or ask the operator "
                "to look at the npm registry or to raise TENTERHOOK_MODULE_INSTALL_TIMEOUT_SECONDS.",
                timeout_seconds=self._timeout_seconds,
            ) from error

    @contextlib.asynccontextmanager
    async def _temporary_folder(self) -> AsyncIterator[Path]:
        parent = self._folder / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(folders.remove_abandoned, parent)
        with folders.temporary_folder(parent) as folder:
            yield folder

    async def _node_platform(self) -> str:
        """Return Node's ABI and processor: native parts of modules are made for both."""
        if self._platform is None:
            status, output = await _run_node("-p", "process.versions.modules + '-' + process.arch")
            if status != 0:
                raise NpmFailedError(f"Node does not start: {output}")
            self._platform = output.strip()
        return self._platform


class _Reporter:
    """Tells the caller how far we are, with the time since the call began."""

    def __init__(self, clock: Clock, progress: ProgressCallback | None) -> None:
        self._clock = clock
        self._progress = progress
        self._started_seconds = clock.monotonic_seconds()

    def __call__(self, stage: Stage, done: int = 0, total: int = 0) -> None:
        if self._progress is not None:
            elapsed = self._clock.monotonic_seconds() - self._started_seconds
            self._progress(Progress(stage=stage, elapsed_seconds=elapsed, done=done, total=total))


@contextlib.asynccontextmanager
async def _locked(path: Path, report: _Reporter) -> AsyncIterator[None]:
    """Hold a lock file; asking again in steps, because a thread that waits in the kernel cannot be cancelled."""
    pause_seconds = 0.01
    while (lock := folders.try_lock(path)) is None:
        if pause_seconds == 0.01:
            report(Stage.WAITING)
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, 0.25)
    try:
        yield
    finally:
        os.close(lock)


def _count_unpacked(folder: Path, paths: list[str]) -> int:
    return sum((folder / path / "package.json").exists() for path in paths)


async def _compiles(source: str) -> bool:
    """Ask Node whether a script compiles as a module's body; nothing of it is run."""
    status, _output = await _run_node("-e", _COMPILES, text=source)
    return status == 0


async def _run_node(*arguments: str, text: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        NODE,
        *arguments,
        env={},
        # Without input no pipe: uvloop refuses to write, even nothing, to a process that has ended already.
        stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _none = await process.communicate(text.encode("utf-8", "replace") if text else None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode("utf-8", "replace")
