"""What the connect gate costs: a hook that makes one HTTP request over a new connection, gated and not.

The two pools differ in nothing but the gate and what forbids to connect without it. The server is on this machine and
answers at once, which shows the gate at its worst; a second time it answers after 5 ms, about the nearest that a server
elsewhere is. A process may connect 500 times a second, so there are pauses between the blocks: what is measured is the
gate's work and not its rate limit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
from typing import Any

from harness.statistics_of import spread
from sandboxed import hook, processes
from sandboxed.round_trips import SERVER
from tenterhook import egress
from tenterhook.sandbox import SandboxPool, Script, find_node
from tenterhook.sandbox.jail.protections import Protection

_BLOCK = 40
_REST_SECONDS = 0.1
_DELAYS_MS = (0, 5)
_WITHOUT = frozenset({Protection.CONNECT_GATE, Protection.NETWORK_NAMESPACE, Protection.LANDLOCK})
_SCRIPT = Script(
    key="post:1",
    source="""
const http = require('node:http');
module.exports = function (user, context, cb) {
  const { path, port } = context;
  const request = http.request({ host: '127.0.0.1', port, path, method: 'POST', agent: false }, (response) => {
    response.resume();
    response.on('end', () => cb(null, {}));
  });
  request.on('error', cb);
  request.end('[{},{}]');
};
""",
)


@dataclasses.dataclass(kw_only=True)
class _Variant:
    pool: SandboxPool
    blocks: list[list[float]] = dataclasses.field(default_factory=list)
    processor_ms: list[float] = dataclasses.field(default_factory=list)
    """Of supervisor and Node together, for one run."""

    async def block(self, arguments: tuple[object, ...], *, keep: bool) -> None:
        helpers = [self.pool.status.supervisor_pid or 0, *self.pool.status.pids]
        before = sum(processes.processor_ms(pid) for pid in helpers)
        taken = [await hook.run(self.pool, "acme", _SCRIPT, arguments) for _ in range(_BLOCK)]
        if keep:
            self.blocks.append(taken)
            used = sum(processes.processor_ms(pid) for pid in helpers) - before
            self.processor_ms.append(used / _BLOCK)
        await asyncio.sleep(_REST_SECONDS)

    def shown(self) -> dict[str, Any]:
        return {
            "ms": hook.shown([each for block in self.blocks for each in block], 3),
            "processor_ms_of_supervisor_and_node": spread(self.processor_ms),
        }


async def _compare(
    gated: SandboxPool, ungated: SandboxPool, port: int, delay_ms: int, blocks: int
) -> dict[str, Any]:
    arguments = ({}, {"port": port, "path": f"/{delay_ms}"})
    variants = [_Variant(pool=gated), _Variant(pool=ungated)]
    for variant in variants:
        await hook.run(variant.pool, "acme", _SCRIPT, arguments)  # its process is there from now on
    for number in range(-3, blocks):  # the first ones let V8 compile
        for variant in variants if number % 2 else reversed(variants):
            await variant.block(arguments, keep=number >= 0)
    pairs = [
        (statistics.median(mine), statistics.median(theirs))
        for mine, theirs in zip(variants[0].blocks, variants[1].blocks, strict=True)
    ]
    return {
        "gated": variants[0].shown(),
        "ungated": variants[1].shown(),
        "gated_over_ungated": spread([mine / theirs for mine, theirs in pairs]),
        "gate_ms": spread([mine - theirs for mine, theirs in pairs]),
    }


async def measure(blocks: int) -> dict[str, Any]:
    """Let both have so many blocks of runs in turn."""
    async with processes.program(str(find_node().path), SERVER, hook.SOURCE) as server:
        port = int(await processes.line_of(server))
        grants = egress.parse_grants(f"127.0.0.1:{port}")
        async with (
            SandboxPool(drain_seconds=0, grants=grants) as gated,
            SandboxPool(drain_seconds=0, grants=grants, removed=_WITHOUT) as ungated,
        ):
            return {"runs_of_each": blocks * _BLOCK} | {
                f"server answers after {delay_ms} ms": await _compare(gated, ungated, port, delay_ms, blocks)
                for delay_ms in _DELAYS_MS
            }
