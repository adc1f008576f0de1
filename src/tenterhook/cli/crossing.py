"""The one place where the command line crosses from plain functions, which Typer calls, into async code."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import uvloop

Parameters = ParamSpec("Parameters")


def command(
    function: Callable[Parameters, Coroutine[Any, Any, None]],
) -> Callable[Parameters, None]:
    """Make an async function one that Typer can call; its signature stays for the options."""

    @functools.wraps(function)
    def crossed(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(function(*arguments, **options))

    return crossed


__all__ = ["command"]
