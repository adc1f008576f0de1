"""Public URLs and domains: port kept, slash dropped, and nothing else let through."""

from __future__ import annotations

import pytest

from tenterhook.cli.failures import CommandError
from tenterhook.cli.public_url import check_domain, check_public_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://localhost:8443", "https://localhost:8443"),
        ("https://localhost:8443/", "https://localhost:8443"),
        ("https://Auth.Example.COM", "https://auth.example.com"),
        ("https://auth.example.com:443/", "https://auth.example.com"),
        ("http://localhost:8585", "http://localhost:8585"),
        ("http://127.0.0.1:8585", "http://127.0.0.1:8585"),
        ("http://[::1]:8585", "http://[::1]:8585"),
        ("http://demo.localhost:80", "http://demo.localhost"),
    ],
)
def test_what_can_be_used_is_normalized(text, expected):
    assert check_public_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8443",
        "ftp://example.com",
        "https://",
        "https://example.com/path",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://user:word@example.com",
        "https://example.com:99999",
        "https://example.com:port",
        "http://example.com",
        "http://10.0.0.1",
    ],
)
def test_what_cannot_be_used_is_refused(text):
    with pytest.raises(CommandError, match="--public-url"):
        check_public_url(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("Acme.Example.com", "acme.example.com"), ("localhost:9000", "localhost:9000")]
)
def test_domains_are_normalized(text, expected):
    assert check_domain(text) == expected


@pytest.mark.parametrize("text", ["", "https://a.example", "a.example/x", "a@b", "a?b", " a.example", "a:b"])
def test_domains_that_cannot_be_used_are_refused(text):
    with pytest.raises(CommandError, match="--domain"):
        check_domain(text)
