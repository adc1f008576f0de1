"""Runs as they happen, for the terminal of ``tenterhook start``.

Signals arrive on the event loop from whoever runs the hooks; they are stamped and put into a queue at once, and printed
by a task of their own, so that a slow terminal cannot hold up a run. Text in them is the hook's or the user's, and
therefore untrusted (``cli/terminal.py``).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.emoji import Emoji
from rich.panel import Panel
from rich.text import Text

from tenterhook.cli.development.slack_catcher import SlackMessage
from tenterhook.cli.run_commands import described_call
from tenterhook.cli.terminal import on_one_line, visible

_MAX_WAITING = 10_000
"""Signals that wait for the terminal; beyond that the terminal stands still and the newest are dropped."""
_INDENT = " " * 14
_NOT_SHOWN = frozenset({"first_line"})  # a moment after "started", for those who measure
_GOOD_STATES = frozenset({"succeeded"})


class WatchedSignal(Protocol):
    """One thing that happened to one run, as ``runs.RunSignal`` has it."""

    @property
    def kind(self) -> str:
        """Return ``registered``, ``started``, ``console``, ``called_back``, ``call``, ``finished``, …."""
        ...

    @property
    def run_id(self) -> str:
        """Return the run's id."""
        ...

    @property
    def attempt(self) -> int:
        """Return the attempt's number; 0 before the first."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """Return what the kind brings along."""
        ...


class RunPrinter:
    """Prints signals and Slack messages in the order in which they came."""

    def __init__(
        self, console: Console, hook_name: Callable[[str], Awaitable[str]], now: Callable[[], dt.datetime]
    ) -> None:
        """Take the terminal, how a hook's name is found by its id, and the clock (local time is shown)."""
        self._console = console
        self._hook_name = hook_name
        self._now = now
        self._waiting: asyncio.Queue[tuple[dt.datetime, WatchedSignal | SlackMessage]] = asyncio.Queue(
            _MAX_WAITING
        )
        self._dropped = 0

    def notice(self, event: WatchedSignal | SlackMessage) -> None:
        """Take an event; neither blocks nor raises."""
        if not isinstance(event, SlackMessage) and event.kind in _NOT_SHOWN:
            return
        try:
            self._waiting.put_nowait((self._now(), event))
        except asyncio.QueueFull:
            self._dropped += 1

    @asynccontextmanager
    async def printing(self) -> AsyncIterator[None]:
        """Print inside the block; what has been noticed by its end is printed before it is left."""
        printing = asyncio.create_task(self._print_all(), name="run-printer")
        try:
            yield
            await asyncio.wait(
                {printing, asyncio.create_task(self._waiting.join())}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            printing.cancel()
            await asyncio.wait({printing})

    async def _print_all(self) -> None:
        while True:
            at, event = await self._waiting.get()
            for line in await self._rendered(at, event):
                # A message is folded to the window's width; the lines of a run are left whole, for copying.
                self._console.print(line, soft_wrap=not isinstance(line, Panel))
            if self._dropped:
                self._console.print(f"{_INDENT}… {self._dropped} more events than this terminal could show")
                self._dropped = 0
            self._waiting.task_done()

    async def _rendered(self, at: dt.datetime, event: WatchedSignal | SlackMessage) -> list[RenderableType]:
        if isinstance(event, SlackMessage):
            return [rendered_message(event)]
        label, style, text = described(event)
        if event.kind == "started":
            hook = await self._hook_name(str(event.data.get("subject_id", "")))
            text = f"{on_one_line(hook)}, attempt {event.attempt}"
        head = Text(at.astimezone().strftime("%H:%M:%S.%f")[:-3], style="dim")
        head.append(f"  {event.run_id[-6:]}  ", style="dim")
        head.append(f"{label:<11}", style=style)
        first, *others = visible(text).split("\n") or [""]
        head.append(f" {first}")
        return [head, *(Text(f"{_INDENT}{'':18}{line}") for line in others)]


def described(signal: WatchedSignal) -> tuple[str, str, str]:
    """Return the label, its style and the text of a signal; text may have several lines."""
    data = signal.data
    match signal.kind:
        case "registered":
            who = data.get("email") or data.get("username") or data.get("user_id") or ""
            line = "registered", "bold cyan", str(who)
        case "started":
            line = "started", "bold", f"attempt {signal.attempt}"
        case "console":
            line = "console", "yellow", f"{data.get('level', 'log')}: {data.get('text', '')}"
        case "called_back":
            error = _message(data.get("error"))
            line = ("cb", "red", f"error: {error}") if error else ("cb", "green", "without an error")
        case "call":
            line = "call", "blue", described_call(data)
        case "finished":
            line = _finished(data)
        case other:
            line = other, "magenta", on_one_line(data.get("reason", ""))
    return line


def _finished(data: Mapping[str, Any]) -> tuple[str, str, str]:
    state = str(data.get("state", ""))
    text = f"{data.get('outcome', '')}: the run {_STATE_WORDS.get(state, state)}"
    error = _message(data.get("error"))
    style = "bold green" if state in _GOOD_STATES else "bold red"
    return "settled", style, f"{text}\n{error}" if error else text


_STATE_WORDS = {
    "succeeded": "succeeded",
    "waiting": "will be tried again",
    "attention": "needs attention",
    "held": "is held",
    "cancelled": "is cancelled",
}


def _message(error: Any) -> str:
    if not error:
        return ""
    return str(error.get("message", error)) if isinstance(error, Mapping) else str(error)


def rendered_message(message: SlackMessage) -> RenderableType:
    """Return a message about as Slack shows it."""
    icon = (
        f"{Emoji.replace(on_one_line(message.icon))} "
        if message.icon and message.icon.startswith(":")
        else ""
    )
    body = Text()
    body.append(f"{icon}{on_one_line(message.username or 'incoming-webhook')}", style="bold")
    for part in (message.text, *message.attachments):
        if part:
            body.append("\n" + _unescaped(part))
    for field in message.fields:
        body.append(f"\n{_unescaped(field.title)}: ", style="bold")
        body.append(_unescaped(field.value))
    channel = on_one_line(message.channel or "the webhook's own channel")
    return Panel(
        body,
        title=Text(f"Slack would show in {channel}"),
        title_align="left",
        border_style="magenta",
        expand=False,
    )


def _unescaped(text: str) -> str:
    """Slack has ``&``, ``<`` and ``>`` escaped in texts; whoever reads the message sees the characters."""
    return visible(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
