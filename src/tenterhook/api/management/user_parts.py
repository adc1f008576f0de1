"""What the endpoints about users share: how a user is shown (SPEC 5.4)."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, Field

from tenterhook.clock import to_iso
from tenterhook.directory import UserInConnection
from tenterhook.ids import USER_ID_PREFIX


class IdentityOut(BaseModel):
    """Where a user comes from."""

    connection: str
    user_id: str = Field(description="Bare.")
    provider: str = "auth0"
    isSocial: bool = False  # noqa: N815 - Auth0's name


class UserOut(BaseModel):
    """A user as Auth0's management API shows them. Properties without a value are absent."""

    user_id: str = Field(description="With auth0|.")
    email: str | None = None
    email_verified: bool
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool | None = None
    name: str | None = None
    nickname: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    picture: str | None = None
    blocked: bool | None = None
    user_metadata: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    identities: list[IdentityOut]
    created_at: str
    updated_at: str


def user_body(found: UserInConnection) -> dict[str, Any]:
    """Return a user as JSON: name, nickname and picture are filled in where nobody gave one, as Auth0 does."""
    user = found.user
    name = user.email or user.username or user.phone_number
    shown = {
        "created_at": to_iso(user.created_at),
        "email": user.email,
        "email_verified": user.email_verified,
        "username": user.username,
        "phone_number": user.phone_number,
        "phone_verified": user.phone_verified if user.phone_number is not None else None,
        "identities": [
            {
                "connection": found.connection_name,
                "user_id": user.id,
                "provider": "auth0",
                "isSocial": False,
            }
        ],
        "name": user.name or name,
        "nickname": user.nickname or (name or "").partition("@")[0] or None,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "picture": user.picture or _gravatar(user.email),
        "blocked": user.blocked or None,
        "user_metadata": dict(user.user_metadata) or None,
        "app_metadata": dict(user.app_metadata) or None,
        "updated_at": to_iso(user.updated_at),
        "user_id": USER_ID_PREFIX + user.id,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _gravatar(email: str | None) -> str | None:
    """Return the picture Auth0 shows by default: Gravatar's, which is addressed by an MD5 of the e-mail address."""
    if email is None:
        return None
    digest = hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()
    return f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg"
