'use strict';
// Errors of hooks as plain data for the host: name, message, stack, code and own properties, each bounded.
//
// Each member is read by itself: a getter that throws, or an Error.prepareStackTrace that a module left behind, takes
// away that member and no other.

const { isNativeError } = require('node:util').types;
const { RawJSON, keys, string, stringify } = require('./primordials.cjs');

const MESSAGE_CHARACTERS = 16_384;
const STACK_CHARACTERS = 32_768;
const PROPERTIES_CHARACTERS = 65_536;
const CAUSES = 4;
const RUNTIME_FOLDER = __dirname;

function cut(text, characters) {
  return text.length > characters ? `${string.slice(text, 0, characters)}… [cut]` : text;
}

function textOf(value) {
  try {
    return `${typeof value === 'symbol' ? String(value) : value}`;
  } catch {
    return 'A value that cannot be shown as text';
  }
}

/** A member of something that may be anything. */
function read(value, name) {
  try {
    return value[name];
  } catch {
    return undefined;
  }
}

/** The stack without our own frames: the author's file, its modules and Node remain. */
function authorsStack(stack) {
  let kept = '';
  for (let from = 0; from <= stack.length;) {
    const found = string.indexOf(stack, '\n', from);
    const end = found === -1 ? stack.length : found;
    const line = string.slice(stack, from, end);
    if (!string.includes(line, RUNTIME_FOLDER)) kept += kept === '' ? line : `\n${line}`;
    from = end + 1;
  }
  return kept;
}

function ownStack(error) {
  const stack = read(error, 'stack');
  if (typeof stack === 'string') return authorsStack(stack);
  return isError(error) ? `${textOf(read(error, 'name') ?? 'Error')}: ${textOf(read(error, 'message'))}` : textOf(error);
}

function fullStack(error) {
  let text = ownStack(error);
  let at = read(error, 'cause');
  for (let depth = 1; at && depth < CAUSES; depth += 1) {
    text += `\n[cause]: ${ownStack(at)}`;
    at = read(at, 'cause');
  }
  return text;
}

/** Own enumerable properties that JSON can carry, as JSON does. */
function ownProperties(error) {
  let text = '';
  let room = PROPERTIES_CHARACTERS;
  const names = keys(error);
  for (let i = 0; i < names.length; i += 1) {
    const name = names[i];
    if (name === 'message' || name === 'stack' || name === 'code') continue;
    try {
      const value = stringify(error[name]);
      if (value === undefined || value.length + name.length > room || isTooDeep(value)) continue;
      room -= value.length + name.length;
      text += `${text === '' ? '' : ','}${stringify(name)}:${value}`;
    } catch {
      continue; // circular, or a getter that throws: the message and the stack say enough
    }
  }
  return new RawJSON(`{${text}}`);
}

// Half of what the host lets a frame have.
const MAX_DEPTH = 50;

/** Whether JSON text nests deeper than MAX_DEPTH; the text is looked at, for JSON.rawJSON hides from the value. */
function isTooDeep(text) {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (quoted) {
      if (c === '\\') i += 1;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '{' || c === '[') {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if (c === '}' || c === ']') depth -= 1;
  }
  return false;
}

function isError(value) {
  try {
    return isNativeError(value) || value instanceof Error;
  } catch {
    return false; // a proxy
  }
}

const NOTHING = new RawJSON('{}');

/** Describe whatever was thrown, rejected or handed to cb. */
function describe(value) {
  try {
    if (isError(value)) {
      const code = read(value, 'code');
      return {
        __proto__: null,
        name: cut(textOf(read(value, 'name') ?? 'Error'), 256),
        message: cut(textOf(read(value, 'message')), MESSAGE_CHARACTERS),
        stack: cut(fullStack(value), STACK_CHARACTERS),
        code: typeof code === 'string' || typeof code === 'number' ? cut(`${code}`, 256) : null,
        properties: ownProperties(value),
      };
    }
    // As the original: of an object that is no Error only the message is kept.
    const message = value !== null && typeof value === 'object' && value.message ? value.message : value;
    return ours(null, cut(textOf(message), MESSAGE_CHARACTERS));
  } catch {
    return ours(null, 'An error that cannot be read');
  }
}

/** An error that the sandbox itself finds. */
function ours(code, message, stack = null, properties = NOTHING) {
  return { __proto__: null, name: 'Error', message, stack, code, properties };
}

module.exports = { MAX_DEPTH, authorsStack, cut, describe, isTooDeep, ours };
