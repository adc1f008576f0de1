"""The embedded database is killed under a living server: it comes back, and nobody restarts anything."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.program import Program


async def test_server_and_worker_go_on_after_the_postmaster_was_killed(tmp_path) -> None:
    program = Program(tmp_path, TENTERHOOK_RUN_LEASE_SECONDS="3")
    try:
        program.init()
        program.serve()
        async with await program.management() as management:
            await program.create_hook("module.exports = (user, context, cb) => cb();")
            async with program.applicant() as applicant:
                assert (await program.sign_up(applicant, "before@example.com")).status_code == 200
                killed = program.postmaster()
                os.kill(killed, signal.SIGKILL)
                refused = 0
                async with asyncio.timeout(60):
                    while (
                        answer := await program.sign_up(applicant, "after@example.com")
                    ).status_code != 200:
                        assert answer.status_code == 503, answer.text
                        assert answer.headers["Retry-After"]
                        refused += 1
                        await asyncio.sleep(0.05)
                assert program.postmaster() != killed
                async with asyncio.timeout(60):
                    while (await applicant.get("/ready")).status_code != 200:
                        await asyncio.sleep(0.1)
            async with asyncio.timeout(60):
                while True:
                    runs = (await management.get("/api/extensions/runs")).json()["runs"]
                    if len(runs) == 2 and {run["state"] for run in runs} == {"succeeded"}:
                        break
                    await asyncio.sleep(0.1)
        assert program.process.poll() is None
        assert program.stop() == 0
    finally:
        program.close()
