"""The vault: what must be kept but never read by who merely holds a copy of the database.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce per value; the value's purpose and owner go in as associated
data, so a ciphertext copied into another row does not open. Layout of a sealed value: one version byte (1), 12 bytes
nonce, ciphertext with its 16-byte tag.

The key lies in a file, never in the database: 32 bytes as base64. The database keeps a *check value*, a known text
sealed with the key, and start-up refuses a key that does not open it; else a lost key would be found out one secret
at a time.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import CheckConstraint, Column, Integer, LargeBinary, Table, select
from sqlalchemy.dialects.postgresql import insert

from tenterhook.database.connection import Transaction
from tenterhook.database.schema import METADATA
from tenterhook.errors import ConfigurationError, TenterhookError

KEY_BYTES = 32
DEFAULT_KEY_FILE_NAME = "secrets.key"
_VERSION = b"\x01"
_NONCE_BYTES = 12
_CHECK_TEXT = b"tenterhook"
_CHECK_PURPOSE = "vault:check"

vault_checks = Table(
    "vault_checks",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)


class SealedValueError(TenterhookError):
    """A stored secret cannot be opened with the key in use."""

    code = "sealed_value_error"


class Vault:
    """Seals and opens small values with one key."""

    def __init__(self, key: bytes) -> None:
        """Take the 32-byte key."""
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        """Hide the key."""
        return "Vault(***)"

    def seal(self, plain: bytes, *, purpose: str) -> bytes:
        """Encrypt ``plain`` for ``purpose``, such as ``hook-secret:HOOK:NAME``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, *, purpose: str) -> bytes:
        """Decrypt what ``seal`` made for the same purpose.

        Raises:
            SealedValueError: another key, another purpose, or a damaged value.
        """
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, ciphertext, purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise SealedValueError from error


def load_or_create_key(file: Path, *, create: bool) -> bytes:
    """Read the key from its file; make the file with mode 0600 when it is absent and ``create`` is set.

    Raises:
        ConfigurationError: absent, unreadable, not a key, or readable by others.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        if not create:
            raise ConfigurationError(
                f"The key file {file} does not exist. Set TENTERHOOK_SECRETS_KEY_FILE to the key of this database."
            ) from None
        return _create_key(file)
    except OSError as error:
        raise ConfigurationError(f"The key file {file} cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as stream:
        if os.fstat(stream.fileno()).st_mode & 0o077:
            raise ConfigurationError(f"The key file {file} can be read by others; run: chmod 600 {file}")
        text = stream.read(1024)
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"The key file {file} must hold {KEY_BYTES} bytes as base64.")
    return key


def _create_key(file: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written under another name first: a crash must not leave half a key under the real one.
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(base64.b64encode(key) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)  # fails when another process was first; then its key is the key
    except FileExistsError:
        return load_or_create_key(file, create=False)
    finally:
        draft.unlink()
    return key


async def check_key(transaction: Transaction, vault: Vault) -> None:
    """Prove that the vault's key is this database's; the first key to come is remembered.

    Raises:
        ConfigurationError: the database was sealed with another key.
    """
    sealed = vault.seal(_CHECK_TEXT, purpose=_CHECK_PURPOSE)
    await transaction.execute(insert(vault_checks).values(id=1, sealed=sealed).on_conflict_do_nothing())
    row = await transaction.one_or_none(select(vault_checks.c.sealed))
    try:
        if row is None or vault.open(row.sealed, purpose=_CHECK_PURPOSE) != _CHECK_TEXT:
            raise SealedValueError
    except SealedValueError as error:
        raise ConfigurationError(
            "The key does not belong to this database: its secrets were sealed with another one. "
            "Put the right key file in place (TENTERHOOK_SECRETS_KEY_FILE, or secrets.key in the data folder)."
        ) from error
