"""What others wrote cannot play with the terminal."""

from __future__ import annotations

import pytest

from tenterhook.cli.terminal import on_one_line, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢 🏆", "plain é 漢 🏆"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J\x1b]0;title\x07", "␛[2J␛]0;title␇"),
        ("over\rwritten", "over␍written"),
        ("\x9b31m", "\\u009b31m"),
        ("\x7f", "\\u007f"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_become_visible(text, expected):
    assert visible(text) == expected


def test_a_failure_is_one_line():
    assert on_one_line("first\n  second\tthird ") == "first second third"
