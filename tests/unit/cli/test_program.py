"""The program as the shell sees it: exit codes, one line on standard error, no tracebacks for what is expected."""

from __future__ import annotations

import json
import logging

import pytest
from typer.main import get_command

from tenterhook import __version__
from tenterhook.cli.failures import CommandError, ExitCode, exit_code_of
from tenterhook.cli.options import Trigger
from tenterhook.cli.program import program, run
from tenterhook.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TenterhookError,
)
from tenterhook.hooks import TRIGGER_IDS, point_of, starter_code


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Commands look for .tenterhook in the current folder; logging is the process's."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"tenterhook {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_shows_every_command_in_its_panel(capsys, arguments):
    assert run(arguments) == 0
    text = capsys.readouterr().out
    for panel in ("Run", "Set up", "Hooks", "Runs"):
        assert f"─ {panel} ─" in text
    assert all(name in text for name in get_command(program).commands)


def test_every_command_and_option_has_a_help_text():
    def missing(command, path):
        if not command.help:
            yield path
        for parameter in command.params:
            if not getattr(parameter, "help", None) and parameter.name != "help":
                yield f"{path} {parameter.name}"
        for name, member in getattr(command, "commands", {}).items():
            yield from missing(member, f"{path} {name}")

    assert list(missing(get_command(program), "tenterhook")) == []


def test_triggers_are_those_of_the_catalogue():
    assert {trigger.value for trigger in Trigger} == set(TRIGGER_IDS)


@pytest.mark.parametrize("trigger", list(Trigger))
def test_scaffold_prints_the_catalogues_starter_code_and_nothing_else(capsys, trigger):
    assert run(["scaffold", "-t", trigger.value]) == 0
    captured = capsys.readouterr()
    assert captured.out == starter_code(point_of(trigger.value))
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["no-such-command"], 2, "No such command"),
        (["scaffold"], 2, "Missing option '--trigger'"),
        (["scaffold", "-t", "login"], 2, "login"),
        (["create", "-t", "post-user-registration", "absent.js"], 2, "absent.js cannot be read"),
        (["create", "-t", "post-user-registration", "hook.js", "-s", "novalue"], 2, "--secret number 1"),
        (["ls"], 2, "There is no profile"),
        (["ls", "--limit", "0"], 2, "--limit"),
        (["runs", "show", "../etc"], 2, "not the id of a run"),
        (["serve", "--tls-cert", "cert.pem"], 2, "https needs both"),
        (["tenants", "create"], 2, "Missing"),
    ],
)
def test_expected_failures_are_one_line_without_a_traceback(capsys, arguments, code, part):
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *others = captured.err.splitlines()
    assert first.startswith("tenterhook: ")
    assert part in first
    assert all(line.startswith("See: tenterhook") for line in others)


def test_a_secret_is_not_repeated_by_a_failure(capsys):
    assert run(["create", "-t", "post-user-registration", "hook.js", "-s", "sk_live_without_name"]) == 2
    assert "sk_live" not in capsys.readouterr().err


def test_wrong_settings_name_the_variable(capsys, monkeypatch):
    monkeypatch.setenv("TENTERHOOK_PORT", "lots")
    assert run(["check-config"]) == ExitCode.INVALID
    assert "TENTERHOOK_PORT" in capsys.readouterr().err


def test_check_config_shows_what_was_set_and_hides_secrets(capsys, monkeypatch):
    monkeypatch.setenv("TENTERHOOK_PORT", "9999")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:verysecret@127.0.0.1/x")
    assert run(["check-config", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["TENTERHOOK_PORT"] == 9999
    assert "verysecret" not in json.dumps(shown)


def test_a_defect_is_told_in_full_and_has_its_own_code(capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("a defect")

    monkeypatch.setattr("tenterhook.cli.setup_commands.settings_module.load", broken)
    assert run(["check-config"]) == ExitCode.UNEXPECTED
    captured = capsys.readouterr()
    assert "RuntimeError: a defect" in captured.err
    assert "please report" in captured.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError(), ExitCode.INVALID),
        (NotFoundError(), ExitCode.NOT_FOUND),
        (ConflictError(), ExitCode.BAD_REQUEST),
        (InvalidInputError(), ExitCode.BAD_REQUEST),
        (CommandError("x", ExitCode.TIMEOUT), ExitCode.TIMEOUT),
        (TenterhookError(), ExitCode.CANNOT_START),
    ],
)
def test_exit_codes(error, code):
    assert exit_code_of(error) is code
