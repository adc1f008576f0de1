"""The intake reads at the host's pace: bounded turns, a paused transport, and no patience with half frames."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenterhook.sandbox import intake
from tenterhook.sandbox.intake import Intake
from tenterhook.sandbox.protocol import FrameDecoder, ProtocolViolation, encode

from .frames import messages_of

FRAME = encode({"type": "x"})


class Transport(asyncio.ReadTransport):
    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.pauses = 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


class Sink:
    """An intake whose clock moves a millisecond with each message."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.stuck = asyncio.Event()
        self.fail_at = fail_at
        self.transport = Transport()
        self.intake = Intake(
            FrameDecoder(max_frame_bytes=1 << 20),
            receive=self.receive,
            violated=self.violations.append,
            stuck=self.stuck.set,
            seconds=lambda: len(self.messages) / 1000,
        )
        self.intake.attach(self.transport)

    def receive(self, message: dict[str, Any], size: int) -> None:
        assert size == len(FRAME) - 4
        self.messages.append(message)
        if len(self.messages) == self.fail_at:
            raise ProtocolViolation("enough")


async def test_a_turn_of_the_loop_takes_only_so_much_and_the_transport_waits() -> None:
    sink = Sink()
    sink.intake.feed(FRAME * 10)
    assert len(sink.messages) == round(intake.TURN_SECONDS * 1000)
    assert sink.transport.paused
    await asyncio.sleep(0)
    assert len(sink.messages) == 8
    while sink.transport.paused:
        await asyncio.sleep(0)
    assert len(sink.messages) == 10
    assert sink.transport.pauses == 1
    sink.intake.close()


async def test_bytes_that_come_while_it_works_are_kept_in_order() -> None:
    sink = Sink()
    sink.intake.feed(FRAME * 6 + FRAME[:3])
    sink.intake.feed(FRAME[3:] + FRAME)
    while sink.transport.paused:
        await asyncio.sleep(0)
    assert len(sink.messages) == 8
    sink.intake.close()


async def test_half_a_frame_is_stuck_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "STUCK_SECONDS", 0.01)
    sink = Sink()
    sink.intake.feed(FRAME + FRAME[:-1])
    async with asyncio.timeout(5):
        await sink.stuck.wait()
    sink.intake.close()


async def test_a_frame_that_is_completed_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    sink.intake.feed(FRAME[:2])
    assert sink.intake._stuck_timer is not None
    sink.intake.feed(FRAME[2:])
    assert sink.intake._stuck_timer is None
    sink.intake.feed(FRAME[:-1])
    first = sink.intake._stuck_timer
    sink.intake.feed(FRAME[-1:] + FRAME[:1])
    assert first is not None
    assert first.cancelled()  # the next half frame has its own time
    assert sink.intake._stuck_timer is not first
    sink.intake.close()
    assert sink.intake._stuck_timer is None


async def test_drip_of_single_bytes_does_not_gain_time() -> None:
    sink = Sink()
    sink.intake.feed(FRAME[:1])
    timer = sink.intake._stuck_timer
    for byte in FRAME[1:-1]:
        sink.intake.feed(bytes([byte]))
    assert sink.intake._stuck_timer is timer
    sink.intake.close()


@pytest.mark.parametrize("data", [b"\x7f\xff\xff\xff", b"\0\0\0\2{{", b"\0\0\0\2[]"])
async def test_violation_ends_the_reading_and_frees_what_was_held(data: bytes) -> None:
    sink = Sink()
    sink.intake.feed(FRAME + data + FRAME)
    assert len(sink.messages) == 1
    assert len(sink.violations) == 1
    sink.intake.feed(FRAME)
    assert len(sink.messages) == 1
    assert not sink.intake._decoder.is_within_frame


async def test_violation_in_a_later_turn_is_told_too() -> None:
    sink = Sink(fail_at=7)
    sink.intake.feed(FRAME * 10)
    while not sink.violations:
        await asyncio.sleep(0)
    assert sink.violations == ["enough"]
    assert len(sink.messages) == 7


async def test_drain_takes_what_is_there() -> None:
    sink = Sink()
    sink.intake.feed(FRAME * 10)
    sink.intake.drain()
    assert len(sink.messages) == 10
    sink.intake.close()


async def test_tiny_frames_cost_no_copy_of_the_rest() -> None:
    """The bytes before the next frame are dropped once per read, not once per frame."""
    decoder = FrameDecoder(max_frame_bytes=100)
    decoder.push(FRAME * 1000)
    size = len(decoder._pending)
    assert decoder.next_message() == {"type": "x"}
    assert len(decoder._pending) == size
    assert len(messages_of(decoder, b"")) == 999
    assert not decoder._pending
