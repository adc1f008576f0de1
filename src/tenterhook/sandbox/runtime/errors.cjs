'use strict';
// Errors of hooks as plain data for the host: name, message, stack, code and own properties, each bounded.

const { types } = require('node:util');
const { stringify } = require('./channel.cjs');

const MESSAGE_CHARACTERS = 16_384;
const STACK_CHARACTERS = 32_768;
const PROPERTIES_CHARACTERS = 65_536;
const CAUSES = 4;
const RUNTIME_FOLDER = __dirname;

function cut(text, characters) {
  return text.length > characters ? `${text.slice(0, characters)}… [cut]` : text;
}

function textOf(value) {
  try {
    return String(value);
  } catch {
    return 'A value that cannot be shown as text';
  }
}

/** The stack without our own frames: the author's file, its modules and Node remain. */
function authorsStack(stack) {
  return stack
    .split('\n')
    .filter((line) => !line.includes(RUNTIME_FOLDER))
    .join('\n');
}

function fullStack(error) {
  const parts = [];
  for (let at = error, depth = 0; at && depth < CAUSES; at = at.cause, depth += 1) {
    const stack = typeof at.stack === 'string' ? authorsStack(at.stack) : textOf(at);
    parts.push(depth === 0 ? stack : `[cause]: ${stack}`);
  }
  return parts.join('\n');
}

/** Own enumerable properties that JSON can carry, as JSON does. */
function ownProperties(error) {
  const kept = {};
  let room = PROPERTIES_CHARACTERS;
  for (const key of Object.keys(error)) {
    if (key === 'message' || key === 'stack' || key === 'code') continue;
    try {
      const text = stringify(error[key]);
      if (text === undefined || text.length + key.length > room) continue;
      room -= text.length + key.length;
      kept[key] = JSON.parse(text);
    } catch {
      continue; // circular, or a getter that throws: the message and the stack say enough
    }
  }
  return kept;
}

/** Describe whatever was thrown, rejected or handed to cb. */
function describe(value) {
  try {
    if (types.isNativeError(value) || value instanceof Error) {
      return {
        name: cut(textOf(value.name ?? 'Error'), 256),
        message: cut(textOf(value.message), MESSAGE_CHARACTERS),
        stack: cut(fullStack(value), STACK_CHARACTERS),
        code: ['string', 'number'].includes(typeof value.code) ? cut(String(value.code), 256) : null,
        properties: ownProperties(value),
      };
    }
    // As the original: of an object that is no Error only the message is kept.
    const message = value !== null && typeof value === 'object' && value.message ? value.message : value;
    return { name: 'Error', message: cut(textOf(message), MESSAGE_CHARACTERS), stack: null, code: null, properties: {} };
  } catch {
    return { name: 'Error', message: 'An error that cannot be read', stack: null, code: null, properties: {} };
  }
}

/** An error that the sandbox itself finds. */
function ours(code, message, more = {}) {
  return { name: 'Error', message, stack: null, code, properties: {}, ...more };
}

module.exports = { authorsStack, cut, describe, ours };
