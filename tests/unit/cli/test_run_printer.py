"""Runs on the screen: in order, complete, and harmless whatever hooks write."""

from __future__ import annotations

import datetime as dt
import io

from rich.console import Console

from tenterhook.cli.development.run_printer import RunPrinter
from tenterhook.cli.development.slack_catcher import SlackField, SlackMessage
from tenterhook.ids import RunId
from tenterhook.runs import RunSignal

AT = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


async def printed(*events: RunSignal | SlackMessage) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=120, markup=False, highlight=False, emoji=False, soft_wrap=True)

    async def name_of(hook_id: str) -> str:
        return f"name of {hook_id}"

    printer = RunPrinter(console, name_of, lambda: AT)
    async with printer.printing():
        for event in events:
            printer.notice(event)
    return stream.getvalue()


def signal(kind: str, attempt: int = 1, **data) -> RunSignal:
    return RunSignal(kind=kind, run_id=RunId("01ARZ3NDEKTSV4RRFFQ69G5FAV"), attempt=attempt, data=data)


async def test_a_run_reads_from_top_to_bottom():
    text = await printed(
        signal("registered", 0, user_id="abc", email="ada@example.com"),
        signal("started", subject_id="H1", worker_id="W1"),
        signal("first_line", at=AT),
        signal("console", level="log", text="two\nlines"),
        signal("called_back", error=None),
        signal("call", method="POST", host="127.0.0.1:9", path="/services", status=200, milliseconds=12.4),
        SlackMessage(
            channel="#some_channel", username="Success", icon=":trophy:", text="New User: a &amp; b"
        ),
        signal("finished", outcome="ok", state="succeeded", error=None),
    )
    wanted = [
        "registered  ada@example.com",
        "started     name of H1, attempt 1",
        "console     log: two",
        "lines",
        "cb          without an error",
        "call        POST 127.0.0.1:9/services  200  12 ms",
        "Slack would show in #some_channel",
        "🏆 Success",
        "New User: a & b",
        "settled     ok: the run succeeded",
    ]
    positions = [text.find(part) for part in wanted]
    assert -1 not in positions, text
    assert positions == sorted(positions)
    assert "Q69G5FAV"[-6:] in text
    assert "first_line" not in text


async def test_a_failure_shows_its_error():
    text = await printed(
        signal("called_back", error="no"),
        signal("finished", outcome="error", state="attention", error={"message": "no", "stack": "at 3:1"}),
    )
    assert "cb          error: no" in text
    assert "settled     error: the run needs attention" in text


async def test_nothing_that_hooks_or_users_write_reaches_the_terminal_as_a_command():
    evil = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]:trophy:"
    text = await printed(
        signal("registered", 0, email=evil),
        signal("console", level=evil, text=evil),
        signal("called_back", error=evil),
        signal("call", method=evil, host=evil, path=evil, error=evil),
        signal("unheard of", reason=evil),
        signal("finished", outcome="error", state="attention", error=evil),
        SlackMessage(
            channel=evil,
            username=evil,
            icon=f":{evil}:",
            text=evil,
            attachments=(evil,),
            fields=(SlackField(title=evil, value=evil),),
        ),
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]x[/bold]" in text


async def test_a_long_message_is_folded_and_not_cut():
    words = [f"word{number}" for number in range(100)]
    text = await printed(SlackMessage(channel=None, username=None, icon=None, text=" ".join(words)))
    assert [word for word in words if f"{word} " not in text] == []
