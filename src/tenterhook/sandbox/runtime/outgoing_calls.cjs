'use strict';
// Outgoing HTTP requests, from Node's diagnostics channels: what was called, what came of it, is it still going on.
//
// An answer that arrived but that nobody reads is not going on: nothing of the hook's can follow from it.

const channels = require('node:diagnostics_channel');
const { send } = require('./channel.cjs');
const { current, now } = require('./run.cjs');

/** Native socket handles that an HTTP client owns; their requests are counted, not they. */
const ownedSockets = new WeakSet();
/** ClientRequest or undici's request → entry. */
const entries = new WeakMap();

class Entry {
  constructor(run, method, host, path) {
    this.run = run;
    this.offset = run.elapsed();
    this.begun = now();
    this.method = String(method).slice(0, 32);
    this.host = String(host).slice(0, 256);
    this.path = String(path).split(/[?#]/, 1)[0].slice(0, 1024);
    this.status = null;
    this.error = null;
    this.openAtCallback = false;
    /** For node:http: the answer, to see whether it is read. */
    this.answer = null;
    this.abort = null;
    run.requests.add(this);
  }

  /** The request is over (or will not be looked at any more). */
  report(ended) {
    if (!this.run.requests.delete(this)) return;
    send({
      type: 'call',
      run: this.run.number,
      offset_ms: this.offset,
      method: this.method,
      host: this.host,
      path: this.path,
      status: this.status,
      milliseconds: ended || this.status !== null ? Math.round((now() - this.begun) * 1000) / 1000 : null,
      error: this.error,
      open_at_callback: this.openAtCallback,
    });
    if (this.run.calledBack) this.run.nudge();
  }
}

function own(socket) {
  const handle = socket?._handle;
  if (!handle) return;
  ownedSockets.add(handle);
  if (handle._parent) ownedSockets.add(handle._parent);
}

function disown(run, socket) {
  const handle = socket?._handle?._parent ?? socket?._handle;
  if (handle && ownedSockets.delete(handle)) {
    run.open.set(-run.open.size - 1, { resource: handle, type: 'TCPWRAP', moved: null, movedAt: 0 });
  }
}

const reason = (error) => String(error?.code ?? error?.cause?.code ?? error?.message ?? error).slice(0, 256);

/** Whether some request of the run is going on. */
function holdsOpen(run) {
  let fetched = false;
  for (const entry of run.requests) {
    if (entry.answer !== null) {
      if (entry.answer.readableFlowing !== null) return true;
    } else if (entry.status === null || !entry.isFetch) return true;
    else fetched = true;
  }
  // Of fetch() only the number of unfinished answers and the answers themselves are known, not which is which.
  return fetched && run.answers.some((weak) => weak.deref()?.bodyUsed || weak.deref()?.body?.locked);
}

function reportOpenCalls(run) {
  for (const entry of [...run.requests]) entry.report(false);
}

function abandonCalls(run) {
  for (const entry of run.requests) entry.abort?.();
}

const listeners = {
  'http.client.request.created': ({ request }) => {
    const run = current.getStore();
    if (run === undefined || run.settled) return;
    const entry = new Entry(run, request.method, request.getHeader('host') ?? request.host, request.path);
    entry.abort = () => request.destroy();
    entries.set(request, entry);
    request.once('socket', own);
    request.once('close', () => {
      if (request.upgradeOrConnect) disown(run, request.socket);
      else if (entry.status === null) entry.error ??= 'ABORTED';
      else if (request.res && !request.res.complete) entry.error ??= 'ANSWER_CUT';
      entry.report(true);
    });
  },
  'http.client.request.error': ({ request, error }) => {
    const entry = entries.get(request);
    if (entry) entry.error = reason(error);
  },
  'http.client.response.finish': ({ request, response }) => {
    const entry = entries.get(request);
    if (!entry) return;
    entry.status = response.statusCode;
    entry.answer = response;
  },
  'undici:client:connected': ({ socket }) => own(socket),
  'undici:request:create': ({ request }) => {
    const run = current.getStore();
    if (run === undefined || run.settled) return;
    const host = String(request.origin).replace(/^[a-z]+:\/\//, '');
    const entry = new Entry(run, request.method, host, request.path);
    entry.isFetch = true;
    entry.abort = () => request.abort?.(new Error('The run is over'));
    entries.set(request, entry);
  },
  'undici:request:headers': ({ request, response }) => {
    const entry = entries.get(request);
    if (entry) entry.status = response.statusCode;
  },
  'undici:request:trailers': ({ request }) => entries.get(request)?.report(true),
  'undici:request:error': ({ request, error }) => {
    const entry = entries.get(request);
    if (!entry) return;
    entry.error = reason(error);
    entry.report(true);
  },
};

function install() {
  for (const [name, listener] of Object.entries(listeners)) channels.subscribe(name, listener);
  const original = globalThis.fetch;
  globalThis.fetch = function fetch(...values) {
    const run = current.getStore();
    const promise = original.apply(this, values);
    if (run === undefined) return promise;
    return promise.then((answer) => {
      run.answers.push(new WeakRef(answer));
      return answer;
    });
  };
}

module.exports = { abandonCalls, holdsOpen, install, ownedSockets, reportOpenCalls };
