"""API and worker as processes of their own on one PostgreSQL: what ``serve`` does, taken apart."""

from __future__ import annotations

import asyncio

import asyncpg

from tenterhook.database import embedded
from tests.program import Program


async def test_an_api_and_two_workers_share_a_database(tmp_path, postgres: embedded.EmbeddedServer) -> None:
    maintenance = await asyncpg.connect(postgres.maintenance_url.get_secret_value())
    await maintenance.execute("CREATE DATABASE apart OWNER tenterhook")
    url = postgres.url.get_secret_value().replace("/tenterhook?", "/apart?")
    program = Program(tmp_path, DATABASE_URL=url)
    workers = []
    try:
        refused = program.command("api", check=False)
        assert refused.returncode != 0
        assert "tenterhook migrate" in refused.stderr
        program.command("migrate")
        program.init()
        program.serve("api")
        async with await program.management() as management:
            await program.create_hook("module.exports = (user, context, cb) => setTimeout(cb, 200);")
            async with program.applicant() as applicant:
                for number in range(20):
                    answer = await program.sign_up(applicant, f"person-{number}@example.com")
                    assert answer.status_code == 200, answer.text
            waiting = (await management.get("/api/extensions/runs")).json()["runs"]
            assert {run["state"] for run in waiting} == {"waiting"}  # there is no worker yet
            workers = [program.start("worker", tmp_path / f"worker-{number}.log") for number in range(2)]
            async with asyncio.timeout(60):
                while True:
                    runs = (await management.get("/api/extensions/runs")).json()["runs"]
                    if {run["state"] for run in runs} == {"succeeded"}:
                        break
                    await asyncio.sleep(0.1)
            assert len(runs) == 20
            assert {run["attempts"] for run in runs} == {1}
    finally:
        for worker in workers:
            worker.terminate()
        endings = [worker.wait(60) for worker in workers]
        stopped = program.stop() if program.process is not None else None
        await maintenance.execute("DROP DATABASE apart WITH (FORCE)")
        await maintenance.close()
    assert endings == [0, 0]
    assert stopped == 0
