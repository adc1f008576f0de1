"""A refused connection says so in its error, through every client, and stands in the run with the policy's reason."""

from __future__ import annotations

import pytest

from tenterhook import egress
from tenterhook.sandbox import Confinement, Limits, Outcome

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"
ENFORCED = Confinement(egress=egress.Rules.of("enforce", ["listed.example.com"]))


@pytest.mark.parametrize(
    ("connect", "address"),
    [
        ("require('net').connect(22, '10.0.0.1').on('error', cb)", "10.0.0.1"),
        ("require('net').connect(22, '169.254.169.254').on('error', cb)", "169.254.169.254"),
        ("require('net').connect(22, '100.64.0.1').on('error', cb)", "100.64.0.1"),
        ("require('net').connect(22, 'fd00::1').on('error', cb)", "[fd00::1]"),
        ("require('tls').connect(22, '10.0.0.1').on('error', cb)", "10.0.0.1"),
        ("require('http').get('http://10.0.0.1:22/').on('error', cb)", "10.0.0.1"),
        ("require('https').get('https://10.0.0.1:22/').on('error', cb)", "10.0.0.1"),
        ("require('http2').connect('https://10.0.0.1:22/').on('error', cb)", "10.0.0.1"),
        ("fetch('http://10.0.0.1:8022/').catch((error) => cb(error.cause))", "10.0.0.1"),
    ],
)
async def test_error_says_which_setting_would_allow_it(run: Runner, connect: str, address: str) -> None:
    execution = await run(f"{HEAD} {connect} }}")
    assert execution.verdict is not None
    error = execution.verdict.error
    assert error is not None
    port = 8022 if "8022" in connect else 22
    assert error.message.startswith(f"connect EACCES {address}:{port}: the egress policy refused")
    assert "TENTERHOOK_EGRESS_ALLOW" in error.message
    assert error.code == "EACCES"
    assert {name: error.properties[name] for name in ("errno", "syscall", "address", "port")} == {
        "errno": -13,
        "syscall": "connect",
        "address": address.strip("[]"),
        "port": port,
    }
    assert error.stack is not None
    assert error.message in error.stack
    (attempt,) = execution.refused
    assert (attempt.address, attempt.port, attempt.error) == (address.strip("[]"), port, "EACCES")
    assert attempt.setting == "TENTERHOOK_EGRESS_ALLOW"
    assert attempt.entry_to_add == f"{address}:{port}"
    assert attempt.entry_to_add in attempt.explanation
    assert not attempt.shared
    assert execution.error is not None
    assert execution.error.message == f"{error.message}: {attempt.explanation}"


@pytest.mark.parametrize(
    "address", ["224.0.0.1", "0.0.0.0", "255.255.255.255", "ff02::1", "2002:a00:1::", "::ffff:224.0.0.1"]
)
async def test_what_no_setting_opens_gets_no_advice_to_set_one(run: Runner, address: str) -> None:
    execution = await run(f"{HEAD} require('net').connect(22, '{address}').on('error', cb) }}")
    assert execution.error is not None
    (attempt,) = execution.refused
    assert attempt.setting is None
    assert "No setting opens it." in attempt.explanation
    assert execution.error.message.endswith(attempt.explanation)
    assert "TENTERHOOK_EGRESS_ALLOW=" not in execution.error.message


async def test_each_of_several_addresses_is_explained(run: Runner) -> None:
    source = f"""{HEAD}
      const lookup = (name, options, done) => done(null, [{{ address: '10.0.0.1', family: 4 }}, {{ address: 'fd00::1', family: 6 }}]);
      require('net').connect({{ port: 22, host: 'two.example', lookup }}).on('error', (error) => {{
        console.log(error.name, error.errors.map((each) => each.message).join('\\n'));
        cb(error);
      }});
    }}"""
    execution = await run(source)
    assert execution.error is not None
    assert "egress policy refused" in execution.error.message
    assert execution.error.code == "EACCES"
    assert execution.console[0].text.count("egress policy refused") == 2
    assert {each.address for each in execution.refused} == {"10.0.0.1", "fd00::1"}


async def test_what_is_not_on_the_hooks_own_list_says_so(run: Runner) -> None:
    source = f"{HEAD} require('net').connect(443, '1.1.1.1').on('error', cb) }}"
    execution = await run(source, confinement=ENFORCED)
    assert execution.error is not None
    assert execution.error.code == "EPERM"
    assert "tenterhook hooks egress NAME --allow 1.1.1.1:443" in execution.error.message
    (attempt,) = execution.refused
    assert (attempt.reason, attempt.setting, attempt.error) == ("not_listed", "egress.allow", "EPERM")


@pytest.mark.parametrize(
    "ask",
    [
        "require('dns').lookup('other.example.com', (error) => cb(error))",
        "require('dns').promises.lookup('other.example.com').catch(cb)",
        "require('dns').resolve4('other.example.com', (error) => cb(error))",
        "fetch('https://other.example.com/').catch(cb)",
        "require('https').get('https://other.example.com/').on('error', cb)",
    ],
)
async def test_refused_name_is_in_the_run_and_in_its_error(run: Runner, ask: str) -> None:
    execution = await run(f"{HEAD} {ask} }}", confinement=ENFORCED)
    assert execution.error is not None
    (attempt,) = execution.refused
    assert (attempt.names, attempt.port, attempt.reason) == (("other.example.com",), None, "name_not_listed")
    assert not attempt.shared
    assert attempt.explanation
    assert attempt.explanation in execution.error.message


async def test_sockets_of_the_file_system_are_refused_in_words(run: Runner) -> None:
    execution = await run(f"{HEAD} require('net').connect('/var/run/docker.sock').on('error', cb) }}")
    assert execution.error is not None
    assert "cannot connect to sockets in the file system" in execution.error.message


async def test_an_ordinary_failure_keeps_its_own_words(run: Runner) -> None:
    execution = await run(f"{HEAD} require('net').connect(9, '127.0.0.1').on('error', cb) }}")
    assert execution.error is not None
    assert execution.error.message == "connect ECONNREFUSED 127.0.0.1:9"
    (attempt,) = execution.connections
    assert (attempt.allowed, attempt.established) == (True, False)


async def test_an_established_connection_is_told_as_such(run: Runner, sink: Sink) -> None:
    source = f"{HEAD} fetch('{sink.url}/x').then((answer) => answer.text()).then(() => cb()) }}"
    execution = await run(source)
    (attempt,) = execution.connections
    assert (attempt.address, attempt.port, attempt.allowed, attempt.established) == (
        "127.0.0.1",
        sink.port,
        True,
        True,
    )
    assert attempt.reason == "granted"
    assert execution.refused == ()


async def test_connections_of_a_killed_run_are_kept(run: Runner) -> None:
    source = f"{HEAD} require('net').connect(22, '10.0.0.1').on('error', () => {{ for (;;); }}) }}"
    execution = await run(source, limits=Limits(wall_seconds=0.5))
    assert execution.outcome is Outcome.TIMED_OUT
    assert [each.address for each in execution.refused] == ["10.0.0.1"]
