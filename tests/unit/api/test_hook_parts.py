"""The small readers and writers of the endpoints about hooks."""

from __future__ import annotations

import datetime as dt

import pytest

from tenterhook.api.hook_parts import version_headers
from tenterhook.api.preconditions import entity_tags
from tenterhook.hooks import HookVersion, ModuleFailure
from tenterhook.ids import HookId
from tenterhook.sandbox.modules import Origin, ResolvedModule


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("*", {"*"}),
        (" * ", {"*"}),
        ('"a"', {'"a"'}),
        ('"a", "b"', {'"a"', '"b"'}),
        ('W/"a"', set()),
        ('W/"a", "b"', {'"b"'}),
        ("a", set()),
        ("", set()),
    ],
)
def test_if_match_keeps_strong_tags(header, expected):
    assert entity_tags(header) == expected


def test_headers_are_one_line_of_ascii_whatever_the_registry_said():
    version = HookVersion(
        hook_id=HookId("h"),
        number=3,
        script="",
        dependencies={},
        modules=(
            ResolvedModule(specifier="a", name="a", version="1.0.0", origin=Origin.INFERRED),
            ResolvedModule(specifier="b", name="b", version="2.0.0", origin=Origin.DECLARED, requested="2"),
        ),
        module_notes=(),
        module_failure=ModuleFailure(
            code="npm_failed", message="line\r\nSet-Cookie: ü" + "x" * 9000, passing=True
        ),
        created_at=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
    )
    headers = version_headers(version)
    assert headers["Tenterhook-Version"] == "3"
    assert headers["Tenterhook-Modules"] == "a@1.0.0 (inferred), b@2.0.0 (declared)"
    assert headers["Tenterhook-Module-Error"].startswith("npm_failed: line Set-Cookie: ?x")
    assert len(headers["Tenterhook-Module-Error"]) == 2000
