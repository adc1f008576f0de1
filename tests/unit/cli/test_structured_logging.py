"""Logs: one line each, for people or machines, and no secret in them."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from pydantic import SecretStr

from tenterhook.cli.structured_logging import HIDDEN, configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def logged():
    def configure(style, level="info"):
        stream = io.StringIO()
        configure_logging(style, level, stream=stream)
        return stream

    return configure


def test_json_has_the_event_and_the_fields(logged):
    stream = logged("json")
    structlog.get_logger("tenterhook.runs").info("run_finished", run="01ARZ", attempt=1)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp")
    assert line == {
        "level": "info",
        "logger": "tenterhook.runs",
        "event": "run_finished",
        "run": "01ARZ",
        "attempt": 1,
    }


def test_text_is_one_line_and_shows_control_characters(logged):
    stream = logged("text")
    structlog.get_logger("x").warning("hook_failed", message="\x1b[2Jtwo\nlines")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "event='hook_failed'" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("name", ["password", "client_secret", "Authorization", "access_token", "api_key"])
def test_values_of_secret_names_are_hidden(logged, style, name):
    stream = logged(style)
    structlog.get_logger("x").info("happened", **{name: "hunter2"}, other=SecretStr("hunter2"))
    assert "hunter2" not in stream.getvalue()
    assert HIDDEN in stream.getvalue()


def test_the_level_holds_for_all_and_libraries_are_quiet(logged):
    stream = logged("text", "info")
    structlog.get_logger("x").debug("not_this")
    logging.getLogger("alembic.runtime").info("nor this")
    logging.getLogger("uvicorn.error").warning("but this")
    assert stream.getvalue().count("\n") == 1
    assert "but this" in stream.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_exception_keeps_its_traceback_without_the_values_of_variables(logged, style):
    stream = logged(style)
    parts = ["hun", "ter2"]
    try:
        held = "".join(parts)
        raise ValueError(f"why {len(held)}")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    text = stream.getvalue()
    assert "ValueError" in text
    assert "why 7" in text
    assert "test_an_exception_keeps_its_traceback" in text
    assert "hunter2" not in text
