"""The vault seals, opens only for the same purpose and key, and its key file is nobody else's to read."""

from __future__ import annotations

import base64

import pytest

from tenterhook.database import SealedValueError, Vault, load_or_create_key
from tenterhook.errors import ConfigurationError

VAULT = Vault(b"k" * 32)


def test_what_was_sealed_opens_again() -> None:
    assert VAULT.open(VAULT.seal(b"a secret", purpose="x"), purpose="x") == b"a secret"


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert VAULT.seal(b"a", purpose="x") != VAULT.seal(b"a", purpose="x")


@pytest.mark.parametrize("position", [0, 1, 12, 13, -1])
def test_a_damaged_value_does_not_open(position: int) -> None:
    sealed = bytearray(VAULT.seal(b"a secret", purpose="x"))
    sealed[position] ^= 1
    with pytest.raises(SealedValueError):
        VAULT.open(bytes(sealed), purpose="x")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + b"0" * 12, b"\x01" + b"0" * 27])
def test_a_value_cut_short_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealedValueError):
        VAULT.open(sealed, purpose="x")


def test_another_key_or_another_purpose_does_not_open() -> None:
    sealed = VAULT.seal(b"a secret", purpose="hook-secret:1:A")
    with pytest.raises(SealedValueError):
        VAULT.open(sealed, purpose="hook-secret:2:A")
    with pytest.raises(SealedValueError):
        Vault(b"j" * 32).open(sealed, purpose="hook-secret:1:A")


def test_the_key_is_in_no_representation() -> None:
    assert "kkkk" not in repr(VAULT)


def test_a_key_file_is_made_once_and_closed_to_others(tmp_path) -> None:
    file = tmp_path / "data" / "secrets.key"
    key = load_or_create_key(file, create=True)
    assert len(key) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(file, create=False) == key
    assert [path.name for path in file.parent.iterdir()] == ["secrets.key"]


def test_a_missing_key_is_not_made_where_the_operator_named_it(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="TENTERHOOK_SECRETS_KEY_FILE"):
        load_or_create_key(tmp_path / "absent", create=False)


def test_a_key_that_others_can_read_is_refused(tmp_path) -> None:
    file = tmp_path / "key"
    load_or_create_key(file, create=True)
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_or_create_key(file, create=False)


@pytest.mark.parametrize(
    "content", [b"", b"not base64!", base64.b64encode(b"x" * 31), base64.b64encode(b"x" * 33)]
)
def test_what_is_no_key_is_refused(tmp_path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        load_or_create_key(file, create=False)
