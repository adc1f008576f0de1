"""Attempts on the host through what it hears: the channel on descriptor 3, console lines, errors, output.

Another tenant runs meanwhile and must not notice. Many more malformed frames are in the sandbox's integration tests.
"""

from __future__ import annotations

from tests.escapes.attempt import Attempt, Observed, harmed

_ALWAYS = "Whatever comes from a process is judged by the host, always: there is nothing to take away."
_STAYS = "ready({}); setInterval(() => {}, 1000);"
_FRAME = """
    const frame = (text) => { const head = Buffer.alloc(4); head.writeUInt32BE(text.length); require('fs').writeSync(3, Buffer.concat([head, Buffer.from(text)])); };"""


def _believed(observed: Observed) -> bool:
    return observed.told or harmed(observed)


def _lives(observed: Observed) -> bool:
    return not observed.ended or harmed(observed)


_UNBELIEVABLE = {
    "forge the answer of a run that was never sent": "frame(JSON.stringify({ type: 'called_back', run: 4096, result: 1 }))",
    "forge a question to the storage of another run": "frame(JSON.stringify({ type: 'storage_get', run: 4096, question: 1 }))",
    "send a frame of a type that nobody knows": "frame(JSON.stringify({ type: 'give me root', run: 1 }))",
    "send a frame that is no JSON": "frame('{{{{')",
    "send the length of 2 GB": "require('fs').writeSync(3, Buffer.from([0x7f, 0xff, 0xff, 0xff]))",
}
_HARMLESS = {
    "write a console line of 50 MB": "console.log('x'.repeat(5e7))",
    "write 100,000 console lines": "for (let i = 0; i < 1e5; i += 1) console.log('y'.repeat(400))",
    "write 200 MB to the output": "for (let i = 0; i < 200; i += 1) attempt(() => require('fs').writeSync(1, Buffer.alloc(1 << 20)))",
    "write 20 MB to the errors": "for (let i = 0; i < 20; i += 1) attempt(() => require('fs').writeSync(2, Buffer.alloc(1 << 20)))",
    "throw when nobody listens": "setTimeout(() => { throw new Error('late'); }, 1); await later(50)",
    "reject when nobody listens": "Promise.reject(new Error('late')); await later(50)",
    "throw what is no error": "setTimeout(() => { throw { get stack() { throw this; }, toString: null }; }, 1); await later(50)",
}

ATTEMPTS = [
    *(
        Attempt(
            name=name,
            code=f"{_FRAME} {code}; await later(300); told(true, 'believed')",
            removed=frozenset(),
            escaped=_believed,
            proven=frozenset(),
            why=_ALWAYS,
            other=_STAYS,
            alone=True,
        )
        for name, code in _UNBELIEVABLE.items()
    ),
    *(
        Attempt(
            name=name,
            code=f"{code}; told(false, 'done')",
            removed=frozenset(),
            escaped=harmed,
            proven=frozenset(),
            why=_ALWAYS,
            other=_STAYS,
            alone=True,
        )
        for name, code in _HARMLESS.items()
    ),
    Attempt(
        name="send half a frame and fall silent",
        code="require('fs').writeSync(3, Buffer.from([0, 0, 1, 0, 123])); for (;;) {}",
        removed=frozenset(),
        escaped=_lives,
        proven=frozenset(),
        why=_ALWAYS,
        other=_STAYS,
        alone=True,
        wall_seconds=0.5,
    ),
    Attempt(
        name="close the channel and go on working",
        code="sys('close', 3); for (const until = Date.now() + 3000; Date.now() < until;) {}",
        removed=frozenset(),
        escaped=_lives,
        proven=frozenset(),
        why=_ALWAYS,
        other=_STAYS,
        alone=True,
    ),
]
