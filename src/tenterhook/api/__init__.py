"""The HTTP interface: Auth0's authentication and management APIs, and our own beside them."""

from tenterhook.api.app import create_app

__all__ = ["create_app"]
