"""Taking in what a process sends, at our pace: it may write without end, in tiny frames, or stop in the middle of one.

    bytes ─► decoder ─► at most TURN_SECONDS of messages per turn of the event loop ─► receive
                │            └ more is there: the transport pauses, the rest follows in the next turn
                └ half a frame for STUCK_SECONDS: stuck

While reading is paused the process's own writes fill the socket and wait, so a flood costs it its own time. What is
held is bounded by one frame and one read. A process that is stuck can be working (a long computation after a large
answer), so it is not ended for that; it gets no more runs, and is ended when its last one is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from tenterhook.sandbox.protocol import FrameDecoder, ProtocolViolation

_log = structlog.get_logger(__name__)

TURN_SECONDS = 0.004
"""Longest stretch of parsing and handling between two looks at everything else; one frame may exceed it."""
STUCK_SECONDS = 5.0
"""How long a frame may remain unfinished before the process gets no more runs."""


class Intake:
    """Reads the frames of one process; everything is called on the event loop."""

    def __init__(
        self,
        decoder: FrameDecoder,
        *,
        receive: Callable[[dict[str, Any], int], None],
        violated: Callable[[str], None],
        stuck: Callable[[], None],
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Take who gets each message with its length in bytes, and who is told of the two ends.

        ``receive`` may raise ``ProtocolViolation`` too. After ``violated`` nothing more is read.
        """
        self._loop = asyncio.get_running_loop()
        self._decoder = decoder
        self._receive = receive
        self._violated = violated
        self._stuck = stuck
        self._seconds = seconds
        self._transport: asyncio.ReadTransport | None = None
        self._later: asyncio.Handle | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def attach(self, transport: asyncio.ReadTransport) -> None:
        """Name the transport that is to be paused."""
        self._transport = transport

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if self._closed:
            return
        self._decoder.push(data)
        if self._later is None:
            self._turn()

    def drain(self) -> None:
        """Handle what is there without regard to time: the process has ended, and there will be no more."""
        self._turn(unbounded=True)

    def close(self) -> None:
        """Let go of everything."""
        self._closed = True
        self._decoder.clear()
        for handle in (self._later, self._stuck_timer):
            if handle is not None:
                handle.cancel()
        self._later = self._stuck_timer = None

    def _turn(self, *, unbounded: bool = False) -> None:
        paused, self._later = self._later is not None, None
        until = self._seconds() + TURN_SECONDS
        took = False
        try:
            while not self._closed:
                message = self._decoder.next_message()
                if message is None:
                    break
                took = True
                self._receive(message, self._decoder.last_frame_bytes)
                if not unbounded and self._seconds() >= until and self._decoder.has_more:
                    self._later = self._loop.call_soon(self._turn)
                    break
        except ProtocolViolation as violation:
            self.close()
            self._violated(str(violation))
            return
        except Exception:  # noqa: BLE001 - a message that we fail at must not leave the rest unread for ever
            _log.exception("sandbox_message_failed")
            self.close()
            self._violated("a message could not be taken")
            return
        if self._closed:
            return
        if self._transport is not None and not self._transport.is_closing():
            if self._later is not None and not paused:
                self._transport.pause_reading()
            elif self._later is None and paused:
                self._transport.resume_reading()
        self._watch_half_frame(took=took)

    def _watch_half_frame(self, *, took: bool) -> None:
        if self._stuck_timer is not None and (took or not self._decoder.is_within_frame):
            self._stuck_timer.cancel()
            self._stuck_timer = None
        if self._stuck_timer is None and self._later is None and self._decoder.is_within_frame:
            self._stuck_timer = self._loop.call_later(STUCK_SECONDS, self._on_stuck)

    def _on_stuck(self) -> None:
        self._stuck_timer = None
        self._stuck()
