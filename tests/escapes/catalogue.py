"""The whole table of attempts, in the order of the page that lists them."""

from __future__ import annotations

from tests.escapes import (
    channel,
    files,
    handed_sockets,
    kernel,
    language,
    network,
    processes,
    resources,
    tenants,
)
from tests.escapes.attempt import Attempt

THEMES: dict[str, list[Attempt]] = {
    "Files": files.ATTEMPTS,
    "Processes": processes.ATTEMPTS,
    "The kernel": kernel.ATTEMPTS,
    "The network": network.ATTEMPTS,
    "Sockets that were handed in": handed_sockets.ATTEMPTS,
    "More than its share": resources.ATTEMPTS,
    "JavaScript and Node": language.ATTEMPTS,
    "What the host is told": channel.ATTEMPTS,
    "Another tenant": tenants.ATTEMPTS,
}
ATTEMPTS = [attempt for attempts in THEMES.values() for attempt in attempts]
