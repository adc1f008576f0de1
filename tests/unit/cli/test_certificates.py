"""The local CA: made once, kept while it is good, private, and believed for this machine only."""

from __future__ import annotations

import datetime as dt
import stat

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tenterhook.cli.development.certificates import ensure_certificates, trust_bundle
from tenterhook.clock import SystemClock


class ClockAhead(SystemClock):
    def __init__(self, **ahead: int) -> None:
        self.ahead = dt.timedelta(**ahead)

    def now(self) -> dt.datetime:
        return super().now() + self.ahead


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_call_changes_nothing(tmp_path):
    ensure_certificates(tmp_path / "tls")
    before = contents(tmp_path / "tls")
    ensure_certificates(tmp_path / "tls")
    assert contents(tmp_path / "tls") == before
    assert set(before) == {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem"}


def test_keys_are_private(tmp_path):
    paths = ensure_certificates(tmp_path / "tls")
    for key in (paths.key, paths.ca.with_name("ca-key.pem")):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_an_old_server_certificate_is_renewed_by_the_same_ca(tmp_path):
    ensure_certificates(tmp_path)
    before = contents(tmp_path)
    ensure_certificates(tmp_path, ClockAhead(days=397 - 29))
    after = contents(tmp_path)
    assert after["server.pem"] != before["server.pem"]
    assert (after["ca.pem"], after["ca-key.pem"]) == (before["ca.pem"], before["ca-key.pem"])


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
def test_a_damaged_ca_is_replaced_and_the_server_certificate_with_it(tmp_path, name):
    ensure_certificates(tmp_path)
    before = contents(tmp_path)
    (tmp_path / name).write_text("damaged")
    paths = ensure_certificates(tmp_path)
    after = contents(tmp_path)
    assert all(after[each] != before[each] for each in before)
    x509.load_pem_x509_certificate(paths.cert.read_bytes()).verify_directly_issued_by(
        x509.load_pem_x509_certificate(paths.ca.read_bytes())
    )


def test_the_ca_is_constrained_to_this_machine(tmp_path):
    paths = ensure_certificates(tmp_path)
    ca = x509.load_pem_x509_certificate(paths.ca.read_bytes())
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert {str(entry.value) for entry in constraints.value.permitted_subtrees} == {
        "localhost",
        "127.0.0.0/8",
        "::1/128",
    }


def test_a_verifier_believes_it_for_localhost_and_for_nothing_else(tmp_path):
    paths = ensure_certificates(tmp_path)
    ca, cert = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (paths.ca, paths.cert))
    policy = PolicyBuilder().store(Store([ca]))
    assert policy.build_server_verifier(x509.DNSName("localhost")).verify(cert, []) == [cert, ca]
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("example.com")).verify(cert, [])


def test_the_bundle_holds_both_cas(tmp_path):
    mine = ensure_certificates(tmp_path / "a").ca
    theirs = ensure_certificates(tmp_path / "b").ca
    assert trust_bundle(tmp_path / "a", mine, None) == mine
    bundle = trust_bundle(tmp_path / "a", mine, theirs)
    assert len(x509.load_pem_x509_certificates(bundle.read_bytes())) == 2
