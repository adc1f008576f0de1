'use strict';
// What we use of JavaScript itself, taken before any user code runs. A hook that replaces Map.prototype.get, an array's
// iterator or JSON.stringify, or adds toJSON to Object.prototype, would otherwise spoil what is said of the runs after it.
//
// This keeps honest runs explained beside a careless one. It is no boundary: only the process is, and the host believes
// nothing that comes out of it.
//
// In the other files, after user code may have run: no for…of over arrays, no spread in calls, no array destructuring
// (all use Array.prototype[Symbol.iterator]), and no object literal that is looked into by name without __proto__: null.

const { apply, defineProperty, getOwnPropertyDescriptor, ownKeys } = Reflect;
const { keys, setPrototypeOf } = Object;
const { parse, stringify } = JSON;
const hasOwn = Object.hasOwn;
const { isArray } = Array;

/** `uncurry(String.prototype.slice)(text, 1)` is `text.slice(1)`, whatever becomes of the prototype. */
const uncurry = Function.prototype.bind.bind(Function.prototype.call);

/** A class with its own copies of what it inherits. */
function makeSafe(Base, Safe) {
  const names = ownKeys(Base.prototype);
  for (let i = 0; i < names.length; i += 1) {
    if (names[i] !== 'constructor') {
      defineProperty(Safe.prototype, names[i], getOwnPropertyDescriptor(Base.prototype, names[i]));
    }
  }
  setPrototypeOf(Safe.prototype, null);
  return Safe;
}

const SafeMap = makeSafe(Map, class SafeMap extends Map {});
const SafeSet = makeSafe(Set, class SafeSet extends Set {});
const SafeWeakMap = makeSafe(WeakMap, class SafeWeakMap extends WeakMap {});
const SafeWeakSet = makeSafe(WeakSet, class SafeWeakSet extends WeakSet {});

const string = {
  __proto__: null,
  endsWith: uncurry(String.prototype.endsWith),
  includes: uncurry(String.prototype.includes),
  indexOf: uncurry(String.prototype.indexOf),
  slice: uncurry(String.prototype.slice),
};

/** JSON text that is at hand, in a message. */
class RawJSON {
  constructor(text) {
    this.text = text;
  }
}

/** A message of our own making as JSON: texts, finite numbers, booleans, null, RawJSON, and plain objects of those. */
function toJSON(value) {
  switch (typeof value) {
    case 'string':
      return stringify(value);
    case 'number':
      return value - value === 0 ? `${value}` : 'null';
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object': {
      if (value === null) return 'null';
      if (value instanceof RawJSON) return value.text;
      const names = keys(value);
      let text = '{';
      for (let i = 0; i < names.length; i += 1) {
        if (i > 0) text += ',';
        text += `${stringify(names[i])}:${toJSON(value[names[i]])}`;
      }
      return `${text}}`;
    }
    default:
      return 'null';
  }
}

module.exports = {
  RawJSON,
  SafeMap,
  SafeSet,
  SafeWeakMap,
  SafeWeakSet,
  apply,
  byteLength: Buffer.byteLength,
  defineProperty,
  getOwnPropertyDescriptor,
  hasOwn,
  isArray,
  keys,
  parse,
  string,
  stringify,
  then: uncurry(Promise.prototype.then),
  toJSON,
  uncurry,
};
