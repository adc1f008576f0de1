"""Reading frames in tests: all that a decoder makes of some bytes."""

from __future__ import annotations

from typing import Any

from tenterhook.sandbox.protocol import FrameDecoder


def messages_of(decoder: FrameDecoder, data: bytes) -> list[dict[str, Any]]:
    """Push bytes; return the messages that are complete now. Raises as ``next_message``."""
    decoder.push(data)
    messages = []
    while (message := decoder.next_message()) is not None:
        messages.append(message)
    return messages
