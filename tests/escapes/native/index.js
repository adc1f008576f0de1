'use strict';
// What an attempt has at hand: system calls by name, structures that they take, and words for their results.

const { errno } = require('os').constants;
const native = require('./attack.node');

const names = Object.fromEntries(Object.entries(errno).map(([name, number]) => [number, name]));

/** A system call by its name; negative results are errno. Buffers are passed as addresses. */
function sys(name, ...values) {
  const number = native.numbers[name];
  if (number === undefined) return -errno.ENOSYS;
  return native.syscall(number, ...values);
}

/** `EPERM`, or the number that a call answered. */
const word = (result) => (result < 0 ? (names[-Number(result)] ?? `errno ${-Number(result)}`) : String(result));

/** Whether the kernel itself considered a call: what a filter refuses looks like EPERM or ENOSYS. */
const considered = (result) => result >= 0 || ![errno.EPERM, errno.ENOSYS, errno.EACCES].includes(-Number(result));

function inet(port, host = '127.0.0.1') {
  const made = Buffer.alloc(16);
  made.writeUInt16LE(2, 0);
  made.writeUInt16BE(port, 2);
  host.split('.').forEach((part, index) => made.writeUInt8(Number(part), 4 + index));
  return made;
}

/** An IPv6 address from 16 bytes. */
function inet6(port, bytes) {
  const made = Buffer.alloc(28);
  made.writeUInt16LE(10, 0);
  made.writeUInt16BE(port, 2);
  Buffer.from(bytes).copy(made, 8);
  return made;
}

/** A path; a leading `@` stands for the zero byte of the abstract names. */
function local(path) {
  const text = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  const made = Buffer.alloc(2 + text.length);
  made.writeUInt16LE(1, 0);
  text.copy(made, 2);
  return made;
}

const pointers = (...values) => {
  const made = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => made.writeBigUInt64LE(BigInt.asUintN(64, BigInt(typeof value === 'object' ? native.address(value) : value)), 8 * index));
  return made;
};

/** struct msghdr; everything it points to is kept alive with it. */
function message({ to, data = Buffer.from('x'), control } = {}) {
  const vector = pointers(data, data.length);
  const made = pointers(to ?? 0, to?.length ?? 0, vector, 1, control ?? 0, control?.length ?? 0, 0);
  made.keep = [to, data, control, vector];
  return made;
}

/** struct cmsghdr with one descriptor in it (SCM_RIGHTS). */
function rights(descriptor) {
  const made = Buffer.alloc(24);
  made.writeBigUInt64LE(20n, 0);
  made.writeInt32LE(1, 8);
  made.writeInt32LE(1, 12);
  made.writeInt32LE(descriptor, 16);
  return made;
}

/** Connect a new TCP socket without Node; its descriptor, or negated errno, when the connection stands or failed. */
function connected(to, { type = 1, flags = 0, protocol = 0 } = {}) {
  const handle = sys('socket', to.readUInt16LE(0), type | flags, protocol);
  if (handle < 0) return handle;
  let result = sys('connect', handle, to, to.length);
  for (let tries = 0; result === -errno.EINPROGRESS && tries < 50; tries += 1) {
    sys('nanosleep', pointers(0, 10_000_000), 0);
    result = sys('getpeername', handle, Buffer.alloc(128), Buffer.from([128, 0, 0, 0])) === 0 ? 0 : -errno.EINPROGRESS;
  }
  if (result >= 0) return handle;
  sys('close', handle);
  return result;
}

const SO_ERROR = 4;

/** The pending error of a socket, as negated errno. */
function pending(handle) {
  const value = Buffer.alloc(4);
  sys('getsockopt', handle, 1, SO_ERROR, value, Buffer.from([4, 0, 0, 0]));
  return -value.readInt32LE(0);
}

const attempt = (action) => {
  try {
    return action();
  } catch (error) {
    return error.code ?? error.message;
  }
};

const later = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

module.exports = { native, sys, word, considered, inet, inet6, local, pointers, message, rights, connected, pending, attempt, later };
