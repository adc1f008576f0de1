"""Console output: whose it is, how it looks, how much is kept."""

from __future__ import annotations

from tenterhook.sandbox import Call, ConsoleLine, Limits, Outcome, Verdict

from .conftest import Runner

HEAD = "module.exports = function (user, context, cb) {"


async def test_levels_and_formatting_are_nodes(run: Runner) -> None:
    source = f"""{HEAD}
      console.log('%s is %d', 'six', 6, {{a: [1]}}); console.info('i'); console.warn('w'); console.error(new RangeError('e').message);
      console.debug('d'); console.log(); console.log('two\\nlines');
      const {{log}} = console; log('detached');
      console.dir({{deep: 1}}); console.table([[1]]); console.assert(false, 'asserted'); console.count('c'); console.trace('here');
      console.group('g'); console.log('indented'); console.groupEnd(); console.log('not');
      process.stdout.write('out\\n'); process.stderr.write(Buffer.from('err'));
      cb();
    }}"""
    execution = await run(source)
    lines = [(line.level, line.text) for line in execution.console]
    assert lines[:9] == [
        ("log", "six is 6 { a: [ 1 ] }"),
        ("info", "i"),
        ("warn", "w"),
        ("error", "e"),
        ("debug", "d"),
        ("log", ""),
        ("log", "two\nlines"),
        ("log", "detached"),
        ("dir", "{ deep: 1 }"),
    ]
    assert lines[9][0] == "table"
    assert lines[10:12] == [("assert", "Assertion failed: asserted"), ("count", "c: 1")]
    assert lines[12][1].startswith("Trace: here\n    at module.exports (my-hook.js:")
    assert lines[13:] == [
        ("group", "g"),
        ("log", "  indented"),
        ("log", "not"),
        ("stdout", "out"),
        ("stderr", "err"),
    ]
    assert not any(line.truncated for line in execution.console)


async def test_output_beyond_the_limit_is_cut_with_a_mark(run: Runner) -> None:
    source = f"{HEAD} for (let n = 0; n < 1e5; n++) console.log('x'.repeat(100)); cb(null, 'done') }}"
    execution = await run(source, limits=Limits(console_bytes=5000))
    assert execution.outcome is Outcome.OK
    assert sum(len(line.text) for line in execution.console) <= 5000
    assert [line.truncated for line in execution.console[-2:]] == [False, True]


async def test_one_huge_line_is_cut(run: Runner) -> None:
    execution = await run(f"{HEAD} console.log('é'.repeat(5e7)); cb() }}", limits=Limits(console_bytes=5000))
    assert execution.outcome is Outcome.OK
    (line,) = execution.console
    assert line.truncated
    assert len(line.text.encode()) <= 5000


async def test_line_of_characters_that_need_escaping_fits_a_frame(run: Runner) -> None:
    source = (
        f"{HEAD} console.log('\\x01'.repeat(200000)); console.log('next'); cb(null, '\\x01'.repeat(1000)) }}"
    )
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    assert [(len(line.text), line.truncated) for line in execution.console] == [(65536, True), (4, False)]


async def test_empty_lines_are_not_free(run: Runner) -> None:
    source = f"{HEAD} for (let n = 0; n < 1e5; n++) console.log(); cb() }}"
    assert len((await run(source, limits=Limits(console_bytes=3200))).console) == 101


async def test_one_runs_flood_leaves_the_next_its_room(run: Runner) -> None:
    limits = Limits(console_bytes=1000)
    await run(f"{HEAD} for (let n = 0; n < 1e4; n++) console.log(n); cb() }}", limits=limits)
    execution = await run(f"{HEAD} console.log('mine'); cb() }}", limits=limits)
    assert [line.text for line in execution.console] == ["mine"]


async def test_observer_sees_it_live(run: Runner) -> None:
    seen: list[object] = []

    class Watch:
        def on_started(self, at: object) -> None:
            seen.append("started")

        def on_console(self, line: ConsoleLine) -> None:
            seen.append(line.text)

        def on_answer(self, answer: Verdict) -> None:
            """Nothing to see."""

        def on_called_back(self, verdict: Verdict) -> None:
            seen.append(verdict.result)

        def on_call(self, call: Call) -> None:
            seen.append(call)

    await run(
        f"{HEAD} console.log('one'); cb(null, 'two'); setTimeout(() => console.log('three'), 20) }}",
        observer=Watch(),
    )
    assert seen == ["started", "one", "two", "three"]


async def test_line_written_before_the_thread_blocks_arrives(run: Runner) -> None:
    execution = await run(f"{HEAD} console.log('last words'); for (;;); }}", limits=Limits(wall_seconds=0.2))
    assert [line.text for line in execution.console] == ["last words"]
