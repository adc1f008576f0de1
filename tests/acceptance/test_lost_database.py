"""The embedded database is killed under a living server: it comes back, and nobody restarts anything."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx

from tests.program import CONNECTION, PASSWORD, Program


async def sign_up(client: httpx.AsyncClient, client_id: str, email: str) -> httpx.Response:
    return await client.post(
        "/dbconnections/signup",
        json={"client_id": client_id, "connection": CONNECTION, "email": email, "password": PASSWORD},
    )


async def test_server_and_worker_go_on_after_the_postmaster_was_killed(tmp_path) -> None:
    program = Program(tmp_path, TENTERHOOK_RUN_LEASE_SECONDS="3")
    try:
        initialized = program.init()
        client_id = initialized["application"]["client_id"]
        program.serve()
        async with await program.management(initialized) as management:
            answer = await management.post(
                "/api/v2/hooks",
                json={
                    "name": "first",
                    "triggerId": "post-user-registration",
                    "enabled": True,
                    "script": "module.exports = (user, context, cb) => cb();",
                },
            )
            assert answer.status_code == 201, answer.text
            async with httpx.AsyncClient(base_url=program.url, timeout=60) as applicant:
                assert (await sign_up(applicant, client_id, "before@example.com")).status_code == 200
                killed = program.postmaster()
                os.kill(killed, signal.SIGKILL)
                refused = 0
                async with asyncio.timeout(60):
                    while (
                        answer := await sign_up(applicant, client_id, "after@example.com")
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
