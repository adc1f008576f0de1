from __future__ import annotations

import pytest

from tenterhook.directory import Tenant, UnknownTenantError
from tenterhook.directory.tenants import authority_of, choose, normalize_url
from tenterhook.errors import InvalidInputError
from tenterhook.ids import new_tenant_id


def tenant(domain: str) -> Tenant:
    return Tenant(id=new_tenant_id(), name=domain, domain=domain, public_url=f"https://{domain}")


@pytest.mark.parametrize(
    ("written", "url", "authority"),
    [
        ("https://localhost:8443", "https://localhost:8443", "localhost:8443"),
        ("https://localhost:8443/", "https://localhost:8443", "localhost:8443"),
        ("HTTPS://Auth.Example.com:443", "https://auth.example.com", "auth.example.com"),
        ("http://127.0.0.1:80/", "http://127.0.0.1", "127.0.0.1"),
        ("http://[::1]:8585", "http://[::1]:8585", "[::1]:8585"),
    ],
)
def test_a_public_url_is_scheme_and_authority(written, url, authority) -> None:
    assert normalize_url(written) == url
    assert authority_of(url) == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://x",
        "https://",
        "https://x/path",
        "https://x?q",
        "https://u:p@x",
        "https://x:99999",
    ],
)
def test_what_is_no_public_url_is_refused(url) -> None:
    with pytest.raises(InvalidInputError):
        normalize_url(url)


def test_issuer_and_audience_keep_the_port_and_end_in_a_slash() -> None:
    one = tenant("localhost:8443")
    assert one.issuer == "https://localhost:8443/"
    assert one.management_audience == "https://localhost:8443/api/v2/"


def test_the_host_decides_exactly_and_only_one_tenant_is_the_default() -> None:
    one, two = tenant("a.example"), tenant("a.example:8443")
    assert choose([one, two], "A.example") is one
    assert choose([one, two], "a.example:8443") is two
    assert choose([one], "anything:1") is one
    for authority in ("b.example", "a.example:80", ""):
        with pytest.raises(UnknownTenantError):
            choose([one, two], authority)
    with pytest.raises(UnknownTenantError):
        choose([], "a.example")
