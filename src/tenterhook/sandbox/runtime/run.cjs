'use strict';
// One run inside the process: its identity, its budget, what it said. Everything that happens asynchronously finds its
// run through AsyncLocalStorage.
//
//   started ─► called back ─► settled
//
// The host owns the time limits; this side says when things happen.

const { AsyncLocalStorage } = require('node:async_hooks');
const { performance } = require('node:perf_hooks');
const { send, sendText } = require('./channel.cjs');
const { MAX_DEPTH, describe, isTooDeep, ours } = require('./errors.cjs');
const { SafeMap, SafeSet, byteLength, string, stringify, toJSON } = require('./primordials.cjs');

const NOT_SERIALIZABLE = 'Error when JSON serializing the result of the extension point';
// What a console line costs besides its text, so that empty lines are not free.
const LINE_OVERHEAD_BYTES = 32;
// With every character escaped it still fits a frame.
const LINE_CHARACTERS = 65_536;
const { max, round } = Math;
const now = performance.now.bind(performance);
const storage = new AsyncLocalStorage();
// They call each other.
for (const name of ['enterWith', 'getStore', 'run']) storage[name] = AsyncLocalStorage.prototype[name];
const run = storage.run.bind(storage);
/** The run in whose course we are; its methods cannot be replaced. */
const current = {
  __proto__: null,
  getStore: storage.getStore.bind(storage),
  run,
  // The storage's own exit spreads an array, whose iterator may be anybody's.
  exit: (work) => run(undefined, work),
};
/** Open runs by the host's number. */
const runs = new SafeMap();
// Lookups and connections beyond it are not told; the host keeps fewer.
const MAX_TOLD = 2000;

class Run {
  constructor(message) {
    this.number = message.run;
    this.startedAt = now();
    this.calledBack = false;
    this.settled = false;
    /** The exported function has returned (or thrown). */
    this.returned = false;
    this.consoleRoom = message.console_bytes;
    this.consoleFull = false;
    this.resultBytes = message.result_bytes;
    this.extraCallbacks = 0;
    /** asyncId → {type, resource}; kept by open_resources.cjs. */
    this.open = new SafeMap();
    /** Outgoing HTTP requests; kept by outgoing_calls.cjs. */
    this.requests = new SafeSet();
    /** Answers of fetch(), as weak references; kept by outgoing_calls.cjs. */
    this.answers = new SafeSet();
    this.told = 0;
    /** Questions to the host that wait for an answer; kept by webtask.cjs. */
    this.questions = 0;
    this.webCryptoCalls = 0;
    this.emptySince = null;
    /** Set by open_resources.cjs: look whether the run is over. */
    this.nudge = () => {};
    this.grouped = null;
  }

  elapsed() {
    return round((now() - this.startedAt) * 1000) / 1000;
  }

  /** Tell the host, once, that the answer is fixed. `text` is the result as JSON. */
  #callBack(error, text) {
    this.calledBack = true;
    this.emptySince = null;
    this.requests.forEach((request) => { request.openAtCallback = true; });
    const head = `{"type":"called_back","run":${this.number},"offset_ms":${this.elapsed()}`;
    sendText(error === null ? `${head},"result":${text}}` : `${head},"error":${toJSON(error)}}`);
    this.nudge();
  }

  /** What the hook calls as cb. */
  answer(error, result) {
    if (this.settled) return;
    if (this.calledBack) {
      this.extraCallbacks += 1;
      if (this.extraCallbacks === 1) this.note('cb was called more than once; the first answer stands.');
      return;
    }
    if (error) {
      this.#callBack(describe(error), null);
      return;
    }
    let text;
    try {
      text = stringify(result || {}) ?? '{}';
    } catch {
      this.#callBack(ours('NOT_SERIALIZABLE', NOT_SERIALIZABLE), null);
      return;
    }
    if (isTooDeep(text)) {
      this.#callBack(ours('NOT_SERIALIZABLE', `${NOT_SERIALIZABLE}: more than ${MAX_DEPTH} levels`), null);
      return;
    }
    if (byteLength(text) > this.resultBytes) {
      const size = `${byteLength(text)} bytes of JSON; the limit is ${this.resultBytes}`;
      this.#callBack(ours('RESULT_TOO_LARGE', `The result of the extension point is too large: ${size}.`), null);
      return;
    }
    this.#callBack(null, text);
  }

  /** An error that nobody caught: the verdict if there is none yet, else a late error. */
  fail(error) {
    this.failWith(describe(error));
  }

  failWith(problem) {
    if (this.settled) return;
    if (this.calledBack) send({ __proto__: null, type: 'late_error', run: this.number, error: problem });
    else this.#callBack(problem, null);
  }

  note(text) {
    if (!this.settled) send({ __proto__: null, type: 'note', run: this.number, text });
  }

  /** One console line; beyond the budget one marked line, then nothing. */
  print(level, text) {
    if (this.settled || this.consoleFull) return;
    let shown = text.length > LINE_CHARACTERS ? string.slice(text, 0, LINE_CHARACTERS) : text;
    const cost = byteLength(shown) + LINE_OVERHEAD_BYTES;
    if (cost > this.consoleRoom) {
      this.consoleFull = true;
      shown = string.slice(shown, 0, max(0, this.consoleRoom - LINE_OVERHEAD_BYTES));
    }
    this.consoleRoom -= cost;
    send({
      __proto__: null,
      type: 'console',
      run: this.number,
      offset_ms: this.elapsed(),
      level,
      text: shown,
      truncated: shown.length < text.length || this.consoleFull,
    });
  }

  /** It connected to an address just now: which of the connections that the gate sees are its. */
  connected(address, port) {
    if (this.settled || this.told >= MAX_TOLD) return;
    this.told += 1;
    send({ __proto__: null, type: 'connection', run: this.number, offset_ms: this.elapsed(), address, port });
  }

  /** It is about to look up a name. */
  looksUp(name) {
    if (this.settled || this.told >= MAX_TOLD) return;
    this.told += 1;
    send({ __proto__: null, type: 'lookup', run: this.number, offset_ms: this.elapsed(), name: string.slice(name, 0, 256) });
  }

  /** Nothing of it is open any more, or the host gave it up. */
  settle() {
    this.settled = true;
    runs.delete(this.number);
    send({ __proto__: null, type: 'settled', run: this.number, offset_ms: this.elapsed() });
  }
}

/** The run in whose course we are, or the only one there is; undefined if that cannot be told. */
function responsible() {
  const run = current.getStore();
  if (run !== undefined) return run;
  if (runs.size !== 1) return undefined;
  let only;
  runs.forEach((each) => { only = each; });
  return only;
}

module.exports = { Run, current, now, responsible, runs };
