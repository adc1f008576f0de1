"""HTTP/2, WebSockets, and how much went over the wire: what a run shows besides plain HTTP requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenterhook.sandbox import Outcome, find_node

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"

# An HTTP/2 server and a WebSocket server, each on a port of its own; they say which, and end with their stdin.
SERVER = """
const crypto = require('crypto'), http = require('http'), http2 = require('http2');
const two = http2.createServer();
two.on('stream', (stream, headers) => {
  stream.on('error', () => {}).resume();
  if (headers[':path'].startsWith('/never')) return;
  if (headers[':path'].startsWith('/reset')) { stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR); return; }
  stream.respond({ ':status': 201 });
  stream.end('hello');
});
const web = http.createServer((request, response) => response.writeHead(404).end());
web.on('upgrade', (request, socket) => {
  if (request.url.startsWith('/no')) { socket.end('HTTP/1.1 403 No\\r\\n\\r\\n'); return; }
  const key = crypto.createHash('sha1')
    .update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Yes\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' +
    `Sec-WebSocket-Accept: ${key}\\r\\n\\r\\n`);
  socket.write(Buffer.from([0x81, 2, 104, 105]));
  socket.on('data', () => socket.end(Buffer.from([0x88, 0]))).on('error', () => {});
});
two.listen(0, '127.0.0.1', () => web.listen(0, '127.0.0.1', () => {
  console.log(two.address().port, web.address().port);
}));
process.stdin.on('end', () => process.exit()).resume();
"""


@pytest.fixture
async def ports() -> AsyncIterator[tuple[int, int]]:
    """Start the servers; return the ports of HTTP/2 and of WebSockets."""
    process = await asyncio.create_subprocess_exec(
        find_node().path, "-e", SERVER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    two, web = (await process.stdout.readline()).split()
    yield int(two), int(web)
    process.stdin.close()
    await process.wait()


def http2(port: int, path: str, then: str) -> str:
    return f"""{HEAD}
      const session = require('http2').connect('http://127.0.0.1:{port}');
      const stream = session.request({{ ':method': 'POST', ':path': '{path}?token=s3cret' }});
      stream.on('error', () => {{}}).on('data', () => {{}}).on('close', () => session.close());
      stream.end('body!');
      {then}
    }}"""


async def test_http2_call_is_recorded_and_awaited(run: Runner, ports: tuple[int, int]) -> None:
    execution = await run(http2(ports[0], "/a", "cb();"))
    assert execution.outcome is Outcome.OK
    (call,) = execution.calls
    assert (call.method, call.host, call.path, call.status, call.error) == (
        "POST",
        f"127.0.0.1:{ports[0]}",
        "/a",
        201,
        None,
    )
    assert (call.bytes_sent, call.bytes_received, call.open_at_callback) == (5, 5, True)
    assert "s3cret" not in repr(execution)


async def test_http2_stream_that_is_reset_is_a_failed_call(run: Runner, ports: tuple[int, int]) -> None:
    execution = await run(http2(ports[0], "/reset", "cb();"))
    assert execution.outcome is Outcome.OK_WITH_FAILED_CALLS
    (call,) = execution.calls
    assert (call.status, call.failed) == (None, True)
    assert call.error


@pytest.mark.parametrize("close", ["socket.close()", "socket.send('bye')"])
async def test_websocket_is_a_call_until_it_is_open_and_a_connection_then(
    run: Runner, ports: tuple[int, int], close: str
) -> None:
    source = f"""{HEAD}
      const socket = new WebSocket('ws://127.0.0.1:{ports[1]}/live?token=s3cret');
      socket.onmessage = (message) => {{ cb(null, message.data); {close}; }};
      socket.onclose = () => console.log('closed');
    }}"""
    execution = await run(source)
    assert execution.verdict is not None
    assert execution.verdict.result == "hi"
    assert [line.text for line in execution.console] == ["closed"]
    (call,) = execution.calls
    assert (call.method, call.path, call.status, call.error) == ("GET", "/live", 101, None)
    assert "s3cret" not in repr(execution)


async def test_websocket_that_is_refused_is_a_failed_call(run: Runner, ports: tuple[int, int]) -> None:
    source = f"{HEAD} new WebSocket('ws://127.0.0.1:{ports[1]}/no').onerror = () => cb() }}"
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    (call,) = execution.calls
    assert call.failed


@pytest.mark.parametrize(
    "send",
    [
        "const r = require('http').request('URL', {method: 'POST'}, (a) => a.resume().on('end', cb)); r.end('12345')",
        "fetch('URL', {method: 'POST', body: '12345'}).then((a) => a.text()).then(() => cb())",
    ],
)
async def test_bytes_are_counted(run: Runner, sink: Sink, send: str) -> None:
    execution = await run(f"{HEAD} {send.replace('URL', sink.url + '/big/70000')} }}")
    (call,) = execution.calls
    assert call.bytes_received == 70_000
    assert call.bytes_sent is not None
    # Node may send the body in chunks, each with its length before it.
    assert 5 <= call.bytes_sent <= 32


async def test_each_request_of_a_kept_connection_has_its_own_bytes(run: Runner, sink: Sink) -> None:
    source = f"""{HEAD}
      const http = require('http'), agent = new http.Agent({{ keepAlive: true, maxSockets: 1 }});
      const post = (text, then) => {{
        const options = {{ method: 'POST', agent, headers: {{ 'content-length': text.length }} }};
        http.request('{sink.url}/x', options, (answer) => answer.resume().on('end', then)).end(text);
      }};
      post('1234567890', () => post('123', () => cb()));
    }}"""
    execution = await run(source)
    assert [call.bytes_sent for call in execution.calls] == [10, 3]
    assert [call.bytes_received for call in execution.calls] == [2, 2]
    assert len(execution.connections) == 1
