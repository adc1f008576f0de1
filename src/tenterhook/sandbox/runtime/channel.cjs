'use strict';
// The channel to the host: frames of a big-endian u32 length and UTF-8 JSON, over the inherited socket (fd 3).
//
// Written synchronously: a frame sent before user code blocks the thread or crashes the process has left it, none is ever
// left half written, and a flood waits for the host instead of filling our memory. Read from libuv's own handle, for a
// net.Socket would go through prototypes that user code may have replaced.

const { EAGAIN, EINTR } = require('node:os').constants.errno;
const { parse, toJSON, uncurry } = require('./primordials.cjs');

// fs.writeSync would make an Error, through whatever has become of errors, each time that the socket is full.
const { writeBuffer } = process.binding('fs');
const { Pipe, constants } = process.binding('pipe_wrap');
const { kArrayBufferOffset, kReadBytesOrError, streamBaseState } = process.binding('stream_wrap');

const { from, allocUnsafeSlow, concat } = Buffer;
const readLength = uncurry(Buffer.prototype.readUInt32BE);
const writeLength = uncurry(Buffer.prototype.writeUInt32BE);
const copy = uncurry(Buffer.prototype.copy);
const slice = uncurry(Buffer.prototype.subarray);
const toText = uncurry(Buffer.prototype.utf8Slice);
const reallyExit = process.reallyExit.bind(process);
const wait = Atomics.wait;

const DESCRIPTOR = 3;
const FULL_WAIT_MS = 1;
const patience = new Int32Array(new SharedArrayBuffer(4));

/** Send a frame whose JSON text is at hand. */
function sendText(text) {
  const body = from(text, 'utf8');
  const frame = allocUnsafeSlow(4 + body.length);
  writeLength(frame, body.length, 0);
  copy(body, frame, 4);
  for (let at = 0; at < frame.length;) {
    // With an object to put its failure into, it returns the negative errno and throws nothing.
    const written = writeBuffer(DESCRIPTOR, frame, at, frame.length - at, null, undefined, { __proto__: null });
    if (written >= 0) at += written;
    else if (written === -EAGAIN) wait(patience, 0, 0, FULL_WAIT_MS);
    else if (written !== -EINTR) reallyExit(0); // the host is gone: nothing to live for
  }
}

/** Send a message: see toJSON for what it may hold. */
function send(message) {
  sendText(toJSON(message));
}

/** Call `receive` with each message from the host. */
function listen(receive) {
  let pending = allocUnsafeSlow(0);
  const pipe = new Pipe(constants.SOCKET);
  pipe.open(DESCRIPTOR);
  pipe.onread = (arrived) => {
    const length = streamBaseState[kReadBytesOrError];
    if (length < 0) reallyExit(0);
    if (length <= 0) return;
    const chunk = from(arrived, streamBaseState[kArrayBufferOffset], length);
    pending = pending.length === 0 ? chunk : concat([pending, chunk]);
    while (pending.length >= 4) {
      const end = 4 + readLength(pending, 0);
      if (pending.length < end) return;
      const message = parse(toText(pending, 4, end));
      pending = slice(pending, end);
      receive(message);
    }
  };
  pipe.readStart();
}

module.exports = { listen, reallyExit, send, sendText };
