"""The load: so many sign-ups over so many kept-alive connections to 127.0.0.1, as a process of its own.

    python load.py '{"port": …, "count": …, "connections": …, "client_id": …, "prefix": …, "gap_ms": [20, 80] | null}'

A bare asyncio client, because what it costs is taken from the server on a small machine. Prints one line of JSON. Ends
by itself: after ``count`` requests or two minutes.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

_LIMIT_SECONDS = 120
CONNECTION = "Username-Password-Authentication"


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":", 1)[1])
    await reader.readexactly(length)
    return int(head[9:12])


async def _send(task: dict[str, Any]) -> dict[str, Any]:
    numbers = iter(range(task["count"]))
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    gap: list[int] | None = task["gap_ms"]

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", task["port"])
        for number in numbers:
            body = json.dumps(
                {
                    "client_id": task["client_id"],
                    "connection": CONNECTION,
                    "email": f"{task['prefix']}-{number}@example.com",
                    "password": "Correct-Horse-7",
                }
            ).encode()
            head = (
                f"POST /dbconnections/signup HTTP/1.1\r\nHost: 127.0.0.1:{task['port']}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            sent = time.perf_counter()
            writer.write(head.encode() + body)
            statuses[await _read_answer(reader)] += 1
            latencies.append(time.perf_counter() - sent)
            if gap is not None:
                await asyncio.sleep(random.uniform(*gap) / 1000)
        writer.close()

    begun = time.perf_counter()
    async with asyncio.timeout(_LIMIT_SECONDS):
        await asyncio.gather(*(client() for _ in range(task["connections"])))
    return {
        "seconds": time.perf_counter() - begun,
        "statuses": {str(status): number for status, number in statuses.items()},
        "latencies": latencies,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_send(json.loads(sys.argv[1])))))
