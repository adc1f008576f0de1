"""What ``/health`` tells whom of the sandbox."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import SandboxStatus
from tests.unit.sandbox.found_layers import NAMES, found

from .conftest import House

GATE = SandboxStatus.of(found(tier=3, without={"namespaces"}), unsafe=False)


@pytest.fixture
def gate(house: House) -> House:
    house.app.state.sandbox = GATE
    return house


async def test_anybody_learns_the_tier_and_no_more(gate: House) -> None:
    answer = (await gate.http.get("/health")).json()
    assert answer["sandbox"] == {
        "tier": 3,
        "meaning": GATE.meaning,
        "hooks_run": True,
        "unsandboxed": False,
    }


async def test_a_management_token_shows_the_layers_but_nothing_of_the_host(gate: House) -> None:
    answer = await gate.http.get("/health", headers=await gate.bearer())
    layers = answer.json()["sandbox"]["layers"]
    assert [layer["name"] for layer in layers] == list(NAMES)
    assert [layer["name"] for layer in layers if not layer["available"]] == ["namespaces"]
    assert "found by trying" not in answer.text


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Bearer ", "Basic eA==", "Bearer \u00e9"])
async def test_a_token_that_is_not_good_is_overlooked(gate: House, authorization: str) -> None:
    answer = await gate.http.get("/health", headers={"Authorization": authorization.encode("latin-1")})
    assert answer.status_code == 200
    assert "layers" not in answer.json()["sandbox"]


async def test_a_token_does_not_help_under_a_host_that_is_nobodys(gate: House) -> None:
    headers = {**await gate.bearer(), "Host": "nobody.example"}
    answer = await gate.http.get("/health", headers=headers)
    assert answer.status_code == 200


async def test_without_a_sandbox_the_server_is_healthy_and_says_so(house: House) -> None:
    house.app.state.sandbox = SandboxStatus.of(found(tier=0, without={"seccomp"}), unsafe=True)
    answer = await house.http.get("/health")
    assert answer.status_code == 200
    assert answer.json()["sandbox"]["unsandboxed"] is True
