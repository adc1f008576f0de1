"""The HTTP API as the command line uses it: a client like any other, with the profile's credentials.

One token per command, held in memory only. Failures become one sentence and an exit code here, so that commands can
be written as if nothing went wrong.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from tenterhook.cli.failures import CommandError, ExitCode
from tenterhook.cli.profile import Profile
from tenterhook.cli.terminal import on_one_line
from tenterhook.cli.this_machine import is_this_machine

_PAGE_SIZE = 100
# Saving a hook resolves and installs its modules first; the server's own limit for that is two minutes.
_TIMEOUT = httpx.Timeout(10.0, read=180.0)


class RefusedError(CommandError):
    """The server refused a request."""

    code = "request_refused"

    def __init__(self, status: int, body: Mapping[str, Any], where: str) -> None:
        """Take the answer as it came."""
        self.status = status
        self.body = body
        message = next(
            (
                str(body[name])
                for name in ("message", "error_description", "description", "error")
                if body.get(name)
            ),
            f"HTTP {status} without an explanation",
        )
        if status >= 500:
            exit_code, message = ExitCode.SERVER, f"The server failed at {where}: {message}"
        elif status in {401, 403}:
            exit_code = ExitCode.NOT_AUTHORISED
            message = f"The profile's client may not do this: {message}"
        elif status == 404:
            exit_code = ExitCode.NOT_FOUND
        else:
            exit_code = ExitCode.BAD_REQUEST
        super().__init__(on_one_line(message), exit_code)


class ManagementClient:
    """Requests to one tenant's management API."""

    def __init__(self, http: httpx.AsyncClient, profile: Profile) -> None:
        """Take an open HTTP client whose base URL and Host are the profile's."""
        self._http = http
        self._profile = profile
        self._token: str | None = None

    async def get(self, path: str, **parameters: Any) -> Any:
        """Read something; parameters that are None are left out."""
        return (await self.request("GET", path, parameters=parameters)).json()

    async def request(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request with the token and return the answer if it is a good one.

        Raises:
            RefusedError: the server answered 400 or more.
            CommandError: it did not answer.
        """
        if self._token is None:
            self._token = await self._new_token()
        return await self._send(
            method,
            path,
            params={name: value for name, value in (parameters or {}).items() if value is not None},
            json=json,
            headers={"Authorization": f"Bearer {self._token}", **(headers or {})},
        )

    async def hooks(self, trigger: str | None = None) -> list[dict[str, Any]]:
        """Return every hook of the tenant, of one point if told which, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.get(
                "/api/v2/hooks",
                triggerId=trigger,
                page=len(found) // _PAGE_SIZE,
                per_page=_PAGE_SIZE,
                include_totals="false",
            )
            found += page
            if len(page) < _PAGE_SIZE:
                return found

    async def hook_named(self, name: str) -> dict[str, Any]:
        """Return the hook of that name.

        Raises:
            CommandError: there is none.
        """
        hook = await self.find_hook(name)
        if hook is None:
            raise CommandError(f"No such hook: {name}", ExitCode.NOT_FOUND)
        return hook

    async def find_hook(self, name: str) -> dict[str, Any] | None:
        """Return the hook of that name, or None."""
        return next((hook for hook in await self.hooks() if hook["name"] == name), None)

    async def _new_token(self) -> str:
        answer = await self._send(
            "POST",
            "/oauth/token",
            json={
                "grant_type": "client_credentials",
                "client_id": self._profile.client_id,
                "client_secret": self._profile.client_secret.get_secret_value(),
                "audience": self._profile.audience,
            },
        )
        return str(answer.json()["access_token"])

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise CommandError(
                f"{self._profile.url} did not answer in time. Try again, or look at the server's log.",
                ExitCode.TIMEOUT,
            ) from error
        except httpx.TransportError as error:
            raise CommandError(
                f"Nothing usable answers at {self._profile.url} ({on_one_line(error)}). Start the server with "
                "`tenterhook serve`, or name another with --profile.",
                ExitCode.SERVER,
            ) from error
        if answer.status_code >= 400:
            raise RefusedError(answer.status_code, _json_object(answer), f"{method} {path}")
        return answer


def module_problem(answer: httpx.Response) -> str | None:
    """Return why the modules of a saved hook could not be had; the server says so in a header."""
    problem: str | None = answer.headers.get("Tenterhook-Module-Error")
    return problem


def _json_object(answer: httpx.Response) -> Mapping[str, Any]:
    """Return the JSON object of an answer; a proxy's error page counts as an empty one."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


@asynccontextmanager
async def management_client(profile: Profile) -> AsyncIterator[ManagementClient]:
    """Open a client for the profile's server and tenant."""
    verify: ssl.SSLContext | bool = True
    if profile.ca_file is not None:
        try:
            verify = ssl.create_default_context(cafile=str(profile.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"The profile's ca_file {profile.ca_file} cannot be read: {error}.") from error
    async with httpx.AsyncClient(
        base_url=profile.url,
        headers={"Host": profile.domain},
        verify=verify,
        timeout=_TIMEOUT,
        # A proxy of the environment knows nothing of this machine's own ports.
        trust_env=not is_this_machine(urlsplit(profile.url).hostname or ""),
    ) as http:
        yield ManagementClient(http, profile)
