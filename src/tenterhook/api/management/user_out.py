"""A user as Auth0's management API shows one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from tenterhook.clock import to_iso
from tenterhook.directory import User, UserInConnection
from tenterhook.ids import USER_ID_PREFIX

PROVIDER = "auth0"


class IdentityOut(BaseModel):
    """Where the user comes from."""

    connection: str = Field(description="The connection's name")
    user_id: str = Field(description="Bare: without ``auth0|``")
    provider: str
    is_social: bool = Field(alias="isSocial")


class UserOut(BaseModel):
    """A user; properties without a value are absent."""

    user_id: str = Field(description="With ``auth0|``")
    email: str | None = None
    email_verified: bool
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool | None = None
    given_name: str | None = None
    family_name: str | None = None
    name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    user_metadata: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    blocked: bool | None = None
    identities: list[IdentityOut]
    created_at: str
    updated_at: str


def user_body(found: UserInConnection) -> dict[str, Any]:
    """Return a user as JSON. Name and nickname are made of the address where there are none, for display only."""
    user = found.user
    shown: dict[str, Any] = {
        "user_id": USER_ID_PREFIX + user.id,
        "email": user.email,
        "email_verified": user.email_verified,
        "username": user.username,
        "phone_number": user.phone_number,
        "phone_verified": user.phone_verified if user.phone_number is not None else None,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "name": user.name or user.email or user.username,
        "nickname": user.nickname or _nickname(user),
        "picture": user.picture,
        "user_metadata": dict(user.user_metadata) or None,
        "app_metadata": dict(user.app_metadata) or None,
        "blocked": user.blocked or None,
        "identities": [
            {"connection": found.connection_name, "user_id": user.id, "provider": PROVIDER, "isSocial": False}
        ],
        "created_at": to_iso(user.created_at),
        "updated_at": to_iso(user.updated_at),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _nickname(user: User) -> str | None:
    return user.username if user.email is None else user.email.partition("@")[0]
