"""Names and versions."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.modules.names import (
    is_exact_version,
    is_module_name,
    is_prerelease,
    is_version_request,
    version_order,
)


@pytest.mark.parametrize(
    "text", ["a", "-", "a" * 214, "@a/b", "lodash.merge", "JSONStream", "a_b", "7zip-bin"]
)
def test_module_name(text):
    assert is_module_name(text)


@pytest.mark.parametrize(
    "text",
    ["", "a" * 215, "@a", "@a/", "@a/b/c", "a/b", "../a", ".a", "_a", "a b", "a\n", "ä", "a@1", "node_modules",
     "favicon.ico", "@../b", "@a/..", "a%2fb", "a;b", "$(a)"],
)  # fmt: skip
def test_not_a_module_name(text):
    assert not is_module_name(text)


@pytest.mark.parametrize("text", ["0.0.0", "1.2.3", "1.2.3-a.1", "1.2.3+b", "10.20.30-rc.1+x.y"])
def test_exact_version(text):
    assert is_exact_version(text)


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "v1.2.3", "=1.2.3", "1.2.3 ", "1.2.3\n", "01.2.3", "1.2.3-", "1.x.0", "^1.2.3"]
)
def test_not_an_exact_version(text):
    assert not is_exact_version(text)


@pytest.mark.parametrize(
    "text", ["", "*", "latest", "^1.2.3", ">=1 <2 || 3.x", "v1.2.3", "~1.2", "1 - 2", "next-14"]
)
def test_version_request(text):
    assert is_version_request(text)


@pytest.mark.parametrize(
    "text",
    [
        "git+ssh://x/y",
        "file:../x",
        "npm:other@1",
        "http://x",
        "a/b",
        "link:x",
        "workspace:*",
        "../x",
        "1\n2",
        "x" * 257,
    ],
)
def test_not_a_version_request(text):
    assert not is_version_request(text)


def test_versions_are_ordered_as_semver_orders_them():
    ordered = [
        "nonsense", "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.10", "1.2.0", "1.10.0", "2.0.0",
    ]  # fmt: skip
    shuffled = ordered[::2] + ordered[1::2]
    assert sorted(shuffled, key=version_order) == ordered


def test_prerelease():
    assert is_prerelease("1.0.0-rc.1")
    assert is_prerelease("nonsense")
    assert not is_prerelease("1.0.0+build-7")
