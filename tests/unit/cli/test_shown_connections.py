"""How `runs show` puts a connection and a call into one line."""

from __future__ import annotations

import pytest

from tenterhook.cli.run_commands import described_call, described_connection

BASE = {
    "address": "10.0.0.1",
    "port": 22,
    "names": [],
    "allowed": True,
    "reason": "public",
    "explanation": "",
}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"established": True}, "connected  10.0.0.1:22"),
        ({"established": False}, "no connection  10.0.0.1:22"),
        ({"established": None}, "allowed  10.0.0.1:22"),
        ({"address": "fd00::1", "names": ["a.example"]}, "allowed  [fd00::1]:22 (a.example)"),
        (
            {"allowed": False, "explanation": "It is private."},
            "REFUSED  10.0.0.1:22  It is private.",
        ),
        (
            {
                "allowed": False,
                "address": None,
                "port": None,
                "names": ["b.example"],
                "reason": "name_not_listed",
            },
            "REFUSED  b.example  name_not_listed",
        ),
        (
            {"allowed": False, "port": None, "names": ["b.example"], "explanation": "No."},
            "REFUSED  b.example (10.0.0.1)  No.",
        ),
        (
            {"reported": True, "explanation": "Not listed."},
            "allowed  10.0.0.1:22  not on the hook's list: Not listed.",
        ),
        ({"shared": True}, "allowed  10.0.0.1:22  (this or another run of that moment)"),
    ],
)
def test_connection(more, line):
    assert described_connection(BASE | more) == line


def test_call_shows_its_bytes():
    call = {"method": "POST", "host": "h", "path": "/p", "status": 200, "milliseconds": 12.4}
    assert described_call(call) == "POST h/p  200  12 ms"
    assert (
        described_call(call | {"bytes_sent": 5, "bytes_received": 0})
        == "POST h/p  200  12 ms  5 bytes out, 0 in"
    )
