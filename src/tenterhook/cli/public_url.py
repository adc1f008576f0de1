"""The URL under which a tenant is known to its applications: where issuer, audience and domain come from.

``https://localhost:8443`` makes the issuer ``https://localhost:8443/`` and the audience
``https://localhost:8443/api/v2/``: a port that is not the scheme's own stays, and there is no path. The form is the
directory's (``directory/tenants.py``); on top of it an operator's mistakes are refused here: a query that would be
dropped, and plain http for anything but this machine, because tokens and passwords travel over it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tenterhook.cli.failures import CommandError
from tenterhook.cli.this_machine import is_this_machine
from tenterhook.directory.tenants import authority_of, normalize_url
from tenterhook.errors import InvalidInputError


def check_public_url(text: str) -> str:
    """Return the URL as scheme and authority, without a slash at the end.

    Raises:
        CommandError: saying which part cannot be used.
    """
    try:
        url = normalize_url(text)
    except InvalidInputError as error:
        raise CommandError(f"--public-url cannot be used: {error.message}") from None
    given = urlsplit(text.strip())
    if given.query or given.fragment or given.password is not None:
        raise CommandError(f"--public-url {text!r} cannot be used: it must end after the host and port.")
    if given.scheme == "http" and not is_this_machine(given.hostname or ""):
        raise CommandError(f"--public-url {text!r} cannot be used: http is for localhost only; use https.")
    return url


def check_domain(text: str) -> str:
    """Return HOST[:PORT] in the form in which it is compared with a request's Host.

    Raises:
        CommandError: saying what cannot be used.
    """
    try:
        url = normalize_url(f"https://{text}")
    except InvalidInputError:
        url = ""
    if not url or any(character in text for character in "/@?#") or text != text.strip():
        raise CommandError(f"--domain {text!r} cannot be used: give HOST or HOST:PORT, without https://.")
    return authority_of(url)
