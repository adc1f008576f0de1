'use strict';
// When is a run over? When nothing it started is open: the async hook notes every resource that can still call user
// code, with the run in whose course it was made, and forgets it when Node destroys it.
//
// Not open: what is unref'd (idle keep-alive sockets, unref'd timers); sockets that HTTP clients own, because the
// *requests* are counted instead (a socket kept alive by one run may serve another); a connection on which no byte
// moved for QUIET_MS (a database connection kept for later runs).
//
// Promises are not resources here: one that nothing open can resolve never resolves.

const { createHook } = require('node:async_hooks');
const { current, now, runs } = require('./run.cjs');
const { ours } = require('./errors.cjs');
const { SafeMap, SafeSet, apply, string, then } = require('./primordials.cjs');
const { abandonCalls, holdsOpen, ownedSockets, reportOpenCalls } = require('./outgoing_calls.cjs');

const { setImmediate, setTimeout, clearTimeout } = globalThis;
const probe = setTimeout(() => {}, 0);
const unref = Function.prototype.call.bind(probe.unref);
clearTimeout(probe);

const HANDLES = new SafeSet([
  'TCPWRAP', 'PIPEWRAP', 'UDPWRAP', 'PROCESSWRAP', 'TCPSERVERWRAP', 'PIPESERVERWRAP', 'WORKER', 'MESSAGEPORT',
  'STATWATCHER', 'FSEVENTWRAP',
]);
const REQUESTS = [
  'FSREQCALLBACK', 'FSREQPROMISE', 'FILEHANDLECLOSEREQ', 'GETADDRINFOREQWRAP', 'GETNAMEINFOREQWRAP', 'QUERYWRAP',
  'TCPCONNECTWRAP', 'PIPECONNECTWRAP', 'UDPSENDWRAP', 'WRITEWRAP', 'SHUTDOWNWRAP', 'BLOBREADER',
];
const COUNTED = new SafeSet(['Timeout', 'Immediate', 'ZLIB', ...HANDLES, ...REQUESTS]);
const CONNECTIONS = new SafeSet(['TCPWRAP', 'PIPEWRAP']);
// Work in Node's thread pool: PBKDF2REQUEST, RANDOMBYTESREQUEST, HASHREQUEST, …; an HTTP request is counted elsewhere.
const isCryptoJob = (type) => string.endsWith(type, 'REQUEST') && type !== 'HTTPCLIENTREQUEST';

const QUIET_MS = 5000;
const POLL_MS = 20;
// How long nothing may be open before we say that cb can never be called. Some work has no resource to see
// (WebAssembly.compile); it is done long before.
const MISSING_AFTER_MS = 250;
const MISSING =
  'The hook ended without calling cb: nothing it started is open any more, so the callback can never come.';

const activeResources = process.getActiveResourcesInfo;

/** asyncId → run, for the destroy hook. */
const owners = new SafeMap();

function isOpen(entry) {
  const { resource, type } = entry;
  // Between operations a zlib stream holds no chunk; it stays undestroyed until it is collected.
  if (type === 'ZLIB') return resource.buffer !== null && resource.buffer !== undefined;
  // A synchronous job (crypto.randomBytes(16)) is over when it is seen here, but is destroyed only when it is collected;
  // only an asynchronous one has somebody to call.
  if (isCryptoJob(type)) return typeof resource.ondone === 'function';
  if (typeof resource.hasRef === 'function' && !resource.hasRef()) return false;
  // libuv makes the socket when it is first used; without one (there is no UDP in a jail) nothing can come of it.
  if (type === 'UDPWRAP') return resource.fd >= 0;
  if (!CONNECTIONS.has(type)) return true;
  if (ownedSockets.has(resource)) return false;
  const moved = `${resource.bytesRead} ${resource.bytesWritten}`;
  if (entry.moved !== moved) {
    entry.moved = moved;
    entry.movedAt = now();
  }
  return now() - entry.movedAt < QUIET_MS;
}

function isBusy(run) {
  if (run.questions > 0 || run.webCryptoCalls > 0 || holdsOpen(run)) return true;
  let busy = false;
  run.open.forEach((entry) => { busy ||= isOpen(entry); });
  return busy;
}

/** Nothing but our own socket is active in the whole process, so no other run's work can wake this one. */
function processIsQuiet() {
  return activeResources().length <= 1;
}

/** Look at once, in the next turn: what kept the run may be over. */
function lookSoon(run) {
  if (run.lookingSoon || run.settled) return;
  run.lookingSoon = true;
  // Not setImmediate(look, run): Node would spread the values with an array's iterator.
  current.exit(() => setImmediate(() => look(run)));
}

/** Settle the run if nothing of it is open, else look again later. */
function look(run) {
  if (run.settled) return;
  run.lookingSoon = false;
  clearTimeout(run.nextLook);
  if (!run.returned || isBusy(run)) {
    run.emptySince = null;
  } else if (run.calledBack) {
    // A second look one turn later: the first may fall between the end of one thing and the start of the next.
    if (run.emptySince !== null) {
      reportOpenCalls(run);
      run.settle();
      forget(run);
      return;
    }
    run.emptySince = now();
    lookSoon(run);
    return;
  } else if (processIsQuiet()) {
    run.emptySince ??= now();
    if (now() - run.emptySince >= MISSING_AFTER_MS) {
      run.failWith(ours('CALLBACK_MISSING', MISSING));
      return; // which makes us look again
    }
  }
  // unref'd, or the process would never be quiet; our socket keeps it alive.
  run.nextLook = setTimeout(() => look(run), POLL_MS);
  unref(run.nextLook);
}

function forget(run) {
  run.open.forEach((_entry, id) => owners.delete(id));
  run.open.clear();
}

/** Begin to watch a run whose function was called. */
function watch(run) {
  run.nudge = () => lookSoon(run);
  lookSoon(run);
}

/** The host gave the run up: end what can be ended, so that it does not go on behind our back. */
function abandon(run) {
  reportOpenCalls(run);
  abandonCalls(run);
  run.open.forEach(({ resource, type }) => {
    if (type === 'Timeout' || type === 'Immediate') clearTimeout(resource);
    else if (HANDLES.has(type) && typeof resource.close === 'function' && !ownedSockets.has(resource)) {
      resource.close();
    }
  });
  run.settle();
  forget(run);
}

/** Count WebCrypto's calls by their promises: their jobs cannot be told from synchronous ones, which are over. */
function countWebCrypto() {
  const prototype = Object.getPrototypeOf(globalThis.crypto.subtle);
  for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    const original = descriptor.value;
    if (name === 'constructor' || typeof original !== 'function') continue;
    const counting = function (...parameters) {
      const promise = apply(original, this, parameters);
      const run = current.getStore();
      if (run !== undefined && !run.settled) {
        run.webCryptoCalls += 1;
        const ended = () => { run.webCryptoCalls -= 1; };
        then(promise, ended, ended);
      }
      return promise;
    };
    Object.defineProperty(counting, 'name', { value: name });
    Object.defineProperty(counting, 'length', { value: original.length });
    Object.defineProperty(prototype, name, { ...descriptor, value: counting });
  }
}

function install() {
  countWebCrypto();
  createHook({
    trackPromises: false,
    init(id, type, _trigger, resource) {
      const run = current.getStore();
      if (run === undefined || run.settled) return;
      if (!COUNTED.has(type) && !isCryptoJob(type)) return;
      // An HTTP agent that hands a socket on announces it again, wrapped in an object of its own.
      const native = HANDLES.has(type) && resource.hasRef === undefined ? (resource.handle ?? resource) : resource;
      run.open.set(id, { __proto__: null, resource: native, type, moved: null, movedAt: 0 });
      owners.set(id, run);
    },
    destroy(id) {
      const run = owners.get(id);
      if (run === undefined) return;
      owners.delete(id);
      run.open.delete(id);
      if (run.calledBack) run.nudge();
    },
  }).enable();
}

module.exports = { abandon, install, runs, watch };
