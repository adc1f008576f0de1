'use strict';
// What would end the process, or go unheard, becomes an error of the run that did it.

const { EventEmitter } = require('node:events');
const { apply, defineProperty, getOwnPropertyDescriptor, isArray } = require('./primordials.cjs');
const { current, responsible } = require('./run.cjs');

const REFUSED = [
  'abort', 'exit', 'kill', 'reallyExit', '_kill', '_debugProcess', '_debugEnd', 'execve', 'chdir', 'setuid', 'setgid',
  'seteuid', 'setegid', 'setgroups', 'initgroups', 'setSourceMapsEnabled',
];

function refuse(name) {
  return function unavailable(...values) {
    const shown = values.filter((value) => ['number', 'string'].includes(typeof value)).join(', ');
    throw Object.assign(new Error(`process.${name}(${shown}) is not available in a hook`), { code: 'NOT_AVAILABLE' });
  };
}

const hear = {
  __proto__: null,
  uncaughtException: (error) => responsible()?.fail(error),
  unhandledRejection: (reason) => responsible()?.fail(reason),
};
const EVENTS = Object.keys(hear);
// Node's emit calls a listener's `apply`.
for (const event of EVENTS) {
  defineProperty(hear[event], 'apply', { __proto__: null, value: (self, values) => apply(hear[event], self, values) });
}
const { emit, on } = EventEmitter.prototype;
const sayOf = (...values) => apply(emit, process, values);

function isHeard(event) {
  const listeners = process._events?.[event];
  if (listeners === hear[event]) return true;
  if (!isArray(listeners)) return false;
  for (let i = 0; i < listeners.length; i += 1) if (listeners[i] === hear[event]) return true;
  return false;
}

/** Without our listeners the next late error would end the process. */
function listenAgain() {
  if (process._events === null || typeof process._events !== 'object') process._events = { __proto__: null };
  for (let i = 0; i < EVENTS.length; i += 1) {
    if (!isHeard(EVENTS[i])) apply(on, process, [EVENTS[i], hear[EVENTS[i]]]);
  }
}

/** A hook or a module may clear listeners, in one way or another. */
function keepListening() {
  listenAgain();
  for (const name of ['removeAllListeners', 'removeListener', 'off']) {
    const original = process[name];
    process[name] = function remove(...values) {
      const answer = apply(original, this, values);
      listenAgain();
      return answer;
    };
  }
  // Node itself looks this up whenever an error was not caught.
  const original = process._fatalException;
  defineProperty(process, '_fatalException', {
    __proto__: null,
    value: function fatalException(error, fromPromise) {
      listenAgain();
      // Node tells it through process.emit, which may be anybody's by now.
      const theirs = getOwnPropertyDescriptor(process, 'emit');
      defineProperty(process, 'emit', { __proto__: null, value: sayOf, configurable: true });
      try {
        return apply(original, process, [error, fromPromise]);
      } finally {
        if (theirs === undefined) delete process.emit;
        else defineProperty(process, 'emit', theirs);
      }
    },
  });
}

/** A process cannot be started from here; Node would say so with EACCES, and then with ENOTCONN of pipes never made. */
function refuseProcesses() {
  const { Process } = process.binding('process_wrap');
  const synchronously = process.binding('spawn_sync');
  const refused = (file) => {
    const message = `Starting a process (${file}) is not available in a hook`;
    return Object.assign(new Error(message), { code: 'NOT_AVAILABLE' });
  };
  Process.prototype.spawn = function spawn(file, _arguments, _folder, _environment, stdio) {
    // What Node made for it would keep the run open.
    this.close();
    for (const each of stdio ?? []) each.handle?.close();
    throw refused(file);
  };
  synchronously.spawn = ({ file }) => {
    throw refused(file);
  };
}

/** A callback for what nobody caught hears of its own run's errors, not of those of all runs to come. */
function shareCapture() {
  const original = process.setUncaughtExceptionCaptureCallback;
  process.setUncaughtExceptionCaptureCallback = function setUncaughtExceptionCaptureCallback(callback) {
    const owner = current.getStore();
    if (typeof callback !== 'function' || owner === undefined) return apply(original, process, [callback]);
    return apply(original, process, [
      (error) => {
        const run = responsible();
        if (run === owner && !run.settled) callback(error);
        else run?.fail(error);
      },
    ]);
  };
}

function install() {
  for (const name of REFUSED) if (name in process) process[name] = refuse(name);
  refuseProcesses();
  keepListening();
  shareCapture();
}

module.exports = { install };
