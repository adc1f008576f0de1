"""What packages ask of Node in passing works without /proc and netlink, or says in words that a hook may not have it."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import ErrorCode, Outcome, SandboxPool

from .conftest import Runner

HEAD = "module.exports = function (user, context, cb) { const os = require('os');"


@pytest.mark.parametrize(
    "expression",
    [
        "process.memoryUsage().rss > 0 && process.memoryUsage().heapUsed > 0",
        "process.memoryUsage.rss() > 0",
        "os.cpus().length > 0 && os.cpus()[0].times.user >= 0 && typeof os.cpus()[0].model === 'string'",
        "typeof os.networkInterfaces() === 'object'",
        "os.uptime() > 0 && process.uptime() > 0",
        "os.loadavg().length === 3",
        "os.freemem() > 0 && os.totalmem() > 0",
        "os.userInfo().username.length > 0 && os.homedir() === '/tmp' && os.tmpdir() === '/tmp'",
        "typeof os.hostname() === 'string' && typeof os.release() === 'string' && typeof os.version() === 'string'",
        "typeof os.getPriority() === 'number'",
        "process.resourceUsage().maxRSS > 0 && process.cpuUsage().user >= 0",
        "process.availableMemory() > 0 && process.constrainedMemory() >= 0",
        "(process.title = 'x') && process.title.length > 0",
        "Object.keys(process.report.getReport()).length > 3",
        "require('v8').getHeapStatistics().heap_size_limit > 0",
        "process.getActiveResourcesInfo().length >= 0",
        "Intl.DateTimeFormat().resolvedOptions().timeZone === 'UTC'",
        "require('crypto').randomUUID().length === 36",
        "import('os').then((os) => os.cpus().length > 0)",
    ],
)
async def test_is_there(run: Runner, expression: str) -> None:
    execution = await run(f"{HEAD} Promise.resolve({expression}).then((value) => cb(null, {{value}}), cb) }}")
    assert execution.error is None
    assert execution.verdict is not None
    assert execution.verdict.result == {"value": True}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("process.exit(1)", "process.exit(1)"),
        ("process.abort()", "process.abort()"),
        ("process.kill(1, 'SIGTERM')", "process.kill(1, SIGTERM)"),
        ("process.reallyExit(0)", "process.reallyExit(0)"),
        ("process.execve('/node/bin/node')", "process.execve(/node/bin/node)"),
        ("process.chdir('/')", "process.chdir(/)"),
        ("process.setuid(0)", "process.setuid(0)"),
        ("require('child_process').spawn('ls')", "Starting a process (ls)"),
        ("require('child_process').exec('ls')", "Starting a process (/bin/sh)"),
        ("require('child_process').execSync('ls')", "Starting a process (/bin/sh)"),
        ("require('child_process').spawnSync('ls')", "Starting a process (ls)"),
        ("require('child_process').fork('x.js')", "Starting a process (/node/bin/node)"),
    ],
)
async def test_is_refused_in_words_and_the_process_lives(
    run: Runner, pool: SandboxPool, call: str, named: str
) -> None:
    execution = await run(f"{HEAD} try {{ {call}; cb() }} catch (error) {{ cb(error) }} }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.code == ErrorCode.NOT_AVAILABLE
    assert execution.error.message == f"{named} is not available in a hook"
    assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK
    assert pool.status.processes == 1


async def test_a_udp_socket_that_cannot_be_made_holds_no_run_open(run: Runner) -> None:
    source = f"{HEAD} const socket = require('dgram').createSocket('udp4'); socket.on('error', cb); socket.send('x', 53, '8.8.8.8', (error) => cb(error)) }}"
    execution = await run(source)
    assert execution.outcome is Outcome.ERROR
    assert execution.limit is None
