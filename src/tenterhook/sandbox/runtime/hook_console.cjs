'use strict';
// console, process.stdout and process.stderr, each line told to the run that wrote it.

const { Console } = require('node:console');
const { Writable } = require('node:stream');
const { format } = require('node:util');
const { authorsStack } = require('./errors.cjs');
const { apply, string } = require('./primordials.cjs');
const { current } = require('./run.cjs');

const PLAIN = ['log', 'info', 'warn', 'error', 'debug'];
const OTHERS = [
  'assert', 'count', 'countReset', 'dir', 'dirxml', 'group', 'groupCollapsed', 'groupEnd', 'table', 'time', 'timeEnd',
  'timeLog', 'trace',
];

const withoutBreak = (text) => (string.endsWith(text, '\n') ? string.slice(text, 0, -1) : text);

/** Node's own Console for one run, made when it first needs more than a plain line: groups, counts and timers are its. */
function consoleOf(run) {
  if (run.grouped === null) {
    let level = 'log';
    const sink = {
      write(text) {
        const line = withoutBreak(text);
        run.print(level, level === 'trace' ? authorsStack(line) : line);
      },
      // Console guards its writes with an error listener; there is nothing to listen for.
      on() {},
      once() {},
      removeListener() {},
      listenerCount: () => 1,
    };
    const own = new Console({ stdout: sink, stderr: sink, colorMode: false });
    run.grouped = (name, values) => {
      level = name;
      apply(own[name], own, values);
    };
  }
  return run.grouped;
}

function standardStream(level) {
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      const text = typeof chunk === 'string' ? chunk : chunk.toString('utf8');
      current.getStore()?.print(level, withoutBreak(text));
      done();
    },
  });
  stream.isTTY = false;
  return stream;
}

function install() {
  for (const level of PLAIN) {
    console[level] = (...values) => {
      const run = current.getStore();
      if (run === undefined || run.consoleFull) return;
      if (run.grouped === null) run.print(level, apply(format, undefined, values));
      else run.grouped(level, values);
    };
  }
  for (const name of OTHERS) {
    console[name] = (...values) => {
      const run = current.getStore();
      if (run !== undefined && !run.consoleFull) consoleOf(run)(name, values);
    };
  }
  for (const level of ['stdout', 'stderr']) {
    let stream;
    Object.defineProperty(process, level, {
      configurable: true,
      enumerable: true,
      get: () => (stream ??= current.exit(() => standardStream(level))),
    });
  }
}

module.exports = { install };
