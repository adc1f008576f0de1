'use strict';
// Outgoing HTTP requests, from Node's diagnostics channels: what was called, what came of it, is it still going on.
//
//   node:http, node:https   http.client.*        bytes sent: what went over the connection, but the request's head
//   fetch(), WebSocket      undici:*             a WebSocket is a call that ends with its handshake (status 101)
//   node:http2              http2.client.*
//
// An answer that arrived but that nobody reads is not going on: nothing of the hook's can follow from it.

const channels = require('node:diagnostics_channel');
const { send } = require('./channel.cjs');
const { SafeSet, SafeWeakMap, SafeWeakSet, apply, keys, string, then } = require('./primordials.cjs');
const { current, now } = require('./run.cjs');

const { round } = Math;

/** Native socket handles that an HTTP client owns; their requests are counted, not they. */
const ownedSockets = new SafeWeakSet();
/** ClientRequest, undici's request or HTTP/2 stream → entry. */
const entries = new SafeWeakMap();
/** Entries of WebSockets whose handshake is not over. */
const openingWebSockets = new SafeSet();

function cutAt(text, mark) {
  const at = string.indexOf(text, mark);
  return at === -1 ? text : string.slice(text, 0, at);
}

class Entry {
  constructor(run, method, host, path) {
    this.run = run;
    this.offset = run.elapsed();
    this.begun = now();
    this.method = string.slice(`${method}`, 0, 32);
    this.host = string.slice(`${host}`, 0, 256);
    this.path = string.slice(cutAt(cutAt(`${path}`, '?'), '#'), 0, 1024);
    this.status = null;
    this.error = null;
    this.openAtCallback = false;
    this.sent = null;
    this.received = null;
    this.isFetch = false;
    /** For node:http and node:http2: the answer, to see whether it is read. */
    this.answer = null;
    this.abort = null;
    run.requests.add(this);
  }

  /** The request is over (or will not be looked at any more). */
  report(ended) {
    if (!this.run.requests.delete(this)) return;
    send({
      __proto__: null,
      type: 'call',
      run: this.run.number,
      offset_ms: this.offset,
      method: this.method,
      host: this.host,
      path: this.path,
      status: this.status,
      milliseconds: ended || this.status !== null ? round((now() - this.begun) * 1000) / 1000 : null,
      error: this.error,
      open_at_callback: this.openAtCallback,
      bytes_sent: this.sent,
      bytes_received: this.received,
    });
    if (this.run.calledBack) this.run.nudge();
  }
}

/** An entry for the run in whose course we are; undefined if there is none. */
function begin(key, method, host, path) {
  const run = current.getStore();
  if (run === undefined || run.settled) return undefined;
  const entry = new Entry(run, method, host, path);
  entries.set(key, entry);
  return entry;
}

function own(socket) {
  const handle = socket?._handle;
  if (!handle) return;
  ownedSockets.add(handle);
  if (handle._parent) ownedSockets.add(handle._parent);
}

/** A socket that is no HTTP client's any more (CONNECT, an upgrade) is the run's like any other. */
function disown(run, socket) {
  const handle = socket?._handle?._parent ?? socket?._handle;
  if (handle && ownedSockets.delete(handle)) {
    run.open.set(-run.open.size - 1, { __proto__: null, resource: handle, type: 'TCPWRAP', moved: null, movedAt: 0 });
  }
}

/** Count what an answer gets, where it is put in and not where it is read, which would set it flowing. */
function countReceived(entry, answer) {
  entry.received = 0;
  const { push } = answer;
  answer.push = (chunk, encoding) => {
    if (chunk) entry.received += chunk.length;
    return apply(push, answer, [chunk, encoding]);
  };
}

const reason = (error) => string.slice(`${error?.code ?? error?.cause?.code ?? error?.message ?? error}`, 0, 256);

/** Whether some request of the run is going on. */
function holdsOpen(run) {
  let going = false;
  let fetched = false;
  run.requests.forEach((entry) => {
    if (entry.answer !== null) going ||= entry.answer.readableFlowing !== null;
    else if (entry.status === null || !entry.isFetch) going = true;
    else fetched = true;
  });
  if (going || !fetched) return going;
  // Of fetch() only the number of unfinished answers and the answers themselves are known, not which is which.
  run.answers.forEach((weak) => {
    const answer = weak.deref();
    going ||= Boolean(answer?.bodyUsed || answer?.body?.locked);
  });
  return going;
}

function reportOpenCalls(run) {
  run.requests.forEach((entry) => entry.report(false));
}

function abandonCalls(run) {
  run.requests.forEach((entry) => entry.abort?.());
}

const http = {
  'http.client.request.created': ({ request }) => {
    const entry = begin(request, request.method, request.getHeader('host') ?? request.host, request.path);
    if (entry === undefined) return;
    let socket = null;
    let before = 0;
    entry.abort = () => request.destroy();
    request.once('socket', (given) => {
      own(given);
      socket = given;
      before = given.bytesWritten;
    });
    request.once('close', () => {
      if (socket !== null) {
        const bytes = socket.bytesWritten - before - (request._header?.length ?? 0);
        entry.sent = bytes > 0 ? bytes : 0;
      }
      if (request.upgradeOrConnect) disown(entry.run, request.socket);
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
    countReceived(entry, response);
  },
};

const undici = {
  'undici:client:connected': ({ socket }) => own(socket),
  'undici:request:create': ({ request }) => {
    const origin = `${request.origin}`;
    const at = string.indexOf(origin, '://');
    const host = at === -1 ? origin : string.slice(origin, at + 3);
    const entry = begin(request, request.method, host, request.path);
    if (entry === undefined) return;
    entry.isFetch = true;
    entry.sent = 0;
    entry.received = 0;
    entry.abort = () => request.abort?.(new Error('The run is over'));
    if (request.upgrade === 'websocket') {
      entry.address = `${host}${request.path}`;
      openingWebSockets.add(entry);
    }
  },
  'undici:client:sendHeaders': ({ request, socket }) => {
    const entry = entries.get(request);
    if (entry) entry.socket = socket;
  },
  'undici:request:bodyChunkSent': ({ request, chunk }) => {
    const entry = entries.get(request);
    if (entry) entry.sent += chunk.length;
  },
  'undici:request:bodyChunkReceived': ({ request, chunk }) => {
    const entry = entries.get(request);
    if (entry) entry.received += chunk.length;
  },
  'undici:request:headers': ({ request, response }) => {
    const entry = entries.get(request);
    if (entry) entry.status = response.statusCode;
  },
  'undici:request:trailers': ({ request }) => entries.get(request)?.report(true),
  'undici:request:error': ({ request, error }) => {
    const entry = entries.get(request);
    if (!entry) return;
    openingWebSockets.delete(entry);
    entry.error = reason(error);
    entry.report(true);
  },
  'undici:websocket:open': ({ websocket }) => {
    const url = `${websocket.url}`;
    let opened;
    openingWebSockets.forEach((entry) => {
      if (opened === undefined && string.endsWith(url, `//${entry.address}`)) opened = entry;
    });
    if (opened === undefined) return;
    openingWebSockets.delete(opened);
    opened.status = 101;
    disown(opened.run, opened.socket);
    opened.report(true);
  },
};

const http2 = {
  'http2.client.stream.created': ({ stream, headers }) => {
    const entry = begin(stream, headers[':method'] ?? 'GET', headers[':authority'], headers[':path'] ?? '/');
    if (entry === undefined) return;
    entry.sent = 0;
    entry.abort = () => stream.close();
    stream.once('close', () => {
      if (entry.status === null) entry.error ??= 'ABORTED';
      else if (stream.rstCode !== 0) entry.error ??= `HTTP2_${stream.rstCode}`;
      entry.report(true);
    });
  },
  'http2.client.stream.bodyChunkSent': ({ stream, data }) => {
    const entry = entries.get(stream);
    if (!entry) return;
    const list = Array.isArray(data) ? data : [data];
    for (let i = 0; i < list.length; i += 1) entry.sent += (list[i]?.chunk ?? list[i])?.length ?? 0;
  },
  'http2.client.stream.finish': ({ stream, headers }) => {
    const entry = entries.get(stream);
    if (!entry) return;
    entry.status = headers[':status'];
    entry.answer = stream;
    countReceived(entry, stream);
  },
  'http2.client.stream.error': ({ stream, error }) => {
    const entry = entries.get(stream);
    if (entry) entry.error = reason(error);
  },
};

/** Remember the answers of fetch(), to see whether they are being read. */
function watchFetch() {
  const original = globalThis.fetch;
  const Weak = WeakRef;
  globalThis.fetch = function fetch(...values) {
    const run = current.getStore();
    const promise = apply(original, this, values);
    if (run === undefined) return promise;
    return then(promise, (answer) => {
      run.answers.add(new Weak(answer));
      return answer;
    });
  };
}

function install() {
  for (const group of [http, undici, http2]) {
    for (const name of keys(group)) channels.subscribe(name, group[name]);
  }
  watchFetch();
}

module.exports = { abandonCalls, holdsOpen, install, ownedSockets, reportOpenCalls };
