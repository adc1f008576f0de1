'use strict';
// Whose connection was that? connect(2) happens inside TCP.prototype.connect, in the run's own course; so the host, to
// which the gate tells each connection, hears from us which run made it. What libuv's threads, workers and native code
// connect does not come through here.
//
// And a refused connection says so: its errno alone (EACCES: the operator's policy, EPERM: the hook's own list) would
// send its author looking for a firewall. code, errno, address and port of the error stay as they are.

const { Socket, isIPv6 } = require('node:net');
const { isArray, apply, string } = require('./primordials.cjs');
const { current } = require('./run.cjs');

const place = (host, port) => (isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`);

function explanation({ code, address, port }, host) {
  if (code === 'EPERM') {
    const entry = place(typeof host === 'string' ? host : address, port);
    return `: it is not on the hook's own list. Put it there with: tenterhook hooks egress NAME --allow ${entry}`;
  }
  // Which kind of address it is, and whether anything opens it, is the gate's to say: the host adds that to the error.
  return ": the egress policy refused this address. An operator's grant in TENTERHOOK_EGRESS_ALLOW opens it, where one can; the run says why";
}

/** Say in the error that the policy refused it; in each of several, where several addresses were tried. */
function explain(error, host) {
  if (error === null || typeof error !== 'object' || error.syscall === 'getaddrinfo') return;
  if (isArray(error.errors)) {
    for (let i = 0; i < error.errors.length; i += 1) explain(error.errors[i], host);
    // Node leaves the message of the whole empty.
    if (error.message === '' && error.errors.length > 0) setMessage(error, `${error.errors[0]?.message}`);
    return;
  }
  if (error.syscall === 'connect' && error.code === 'EACCES' && error.port === undefined) {
    setMessage(error, `connect EACCES ${error.address}: a hook cannot connect to sockets in the file system`);
    return;
  }
  if (error.syscall !== 'connect' || typeof error.address !== 'string' || typeof error.port !== 'number') return;
  if (error.code !== 'EACCES' && error.code !== 'EPERM') return;
  setMessage(error, `connect ${error.code} ${place(error.address, error.port)}${explanation(error, host)}`);
}

function setMessage(error, message) {
  const { stack, message: before } = error;
  error.message = message;
  // The stack repeats the message as it was when the error was made.
  if (typeof stack !== 'string') return;
  const end = string.indexOf(stack, '\n    at ');
  const head = `${error.name}${typeof error.code === 'string' && before === '' ? ` [${error.code}]` : ''}: ${message}`;
  error.stack = end === -1 ? head : head + string.slice(stack, end);
}

function install() {
  const { TCP } = process.binding('tcp_wrap');
  for (const name of ['connect', 'connect6']) {
    const original = TCP.prototype[name];
    TCP.prototype[name] = function connect(request, address, port) {
      const result = apply(original, this, arguments);
      if (typeof address === 'string' && typeof port === 'number') current.getStore()?.connected(address, port);
      return result;
    };
  }
  const cares = process.binding('cares_wrap');
  const { getaddrinfo } = cares;
  cares.getaddrinfo = function lookup(request, name) {
    if (typeof name === 'string') current.getStore()?.looksUp(name);
    return apply(getaddrinfo, this, arguments);
  };
  for (const name of Object.getOwnPropertyNames(cares.ChannelWrap.prototype)) {
    if (!name.startsWith('query')) continue;
    const original = cares.ChannelWrap.prototype[name];
    cares.ChannelWrap.prototype[name] = function query(request, asked) {
      if (typeof asked === 'string') current.getStore()?.looksUp(asked);
      return apply(original, this, arguments);
    };
  }
  const destroy = Socket.prototype._destroy;
  Socket.prototype._destroy = function _destroy(error, done) {
    try {
      if (error) explain(error, this._host);
    } catch {
      // A frozen error, say: what is explained is never worth a failure.
    }
    return apply(destroy, this, [error, done]);
  };
}

module.exports = { install };
