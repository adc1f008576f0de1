'use strict';
// The channel to the host: frames of a big-endian u32 length and UTF-8 JSON, over the inherited socket (fd 3).
//
// What is needed to write and read a frame is captured here, before any user code runs, so that a hook that
// replaces JSON.stringify or a Buffer method does not break the runs beside it. That is tidiness, not security:
// the host believes nothing that it reads here.
//
// libuv writes at once while the kernel's buffer has room, so a frame sent before user code blocks the thread or
// crashes the process has left it.

const net = require('node:net');

const { parse, stringify } = JSON;
const { from, allocUnsafe, concat } = Buffer;
const uncurry = Function.prototype.bind.bind(Function.prototype.call);
const readLength = uncurry(Buffer.prototype.readUInt32BE);
const writeLength = uncurry(Buffer.prototype.writeUInt32BE);
const copy = uncurry(Buffer.prototype.copy);
const slice = uncurry(Buffer.prototype.subarray);
const toText = uncurry(Buffer.prototype.utf8Slice);
const reallyExit = process.reallyExit.bind(process);

const socket = new net.Socket({ fd: 3, readable: true, writable: true });
const write = socket.write.bind(socket);
// The host is gone: nothing to live for.
socket.on('close', () => reallyExit(0));
socket.on('error', () => reallyExit(0));

/** Send a frame whose JSON text is at hand. */
function sendText(text) {
  const body = from(text, 'utf8');
  const frame = allocUnsafe(4 + body.length);
  writeLength(frame, body.length, 0);
  copy(body, frame, 4);
  write(frame);
}

/** Send a message: a plain object of our own making. */
function send(message) {
  sendText(stringify(message));
}

/** Call `receive` with each message from the host. */
function listen(receive) {
  let pending = allocUnsafe(0);
  socket.on('data', (chunk) => {
    pending = pending.length === 0 ? chunk : concat([pending, chunk]);
    while (pending.length >= 4) {
      const end = 4 + readLength(pending, 0);
      if (pending.length < end) return;
      const message = parse(toText(pending, 4, end));
      pending = slice(pending, end);
      receive(message);
    }
  });
}

module.exports = { listen, reallyExit, send, sendText, stringify };
