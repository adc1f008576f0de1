'use strict';
// context.webtask: what the original's sandbox added to a hook's context, without its credentials.

const { send } = require('./channel.cjs');
const { RawJSON, SafeMap, byteLength, stringify } = require('./primordials.cjs');
const { current } = require('./run.cjs');

/** Questions to the host that wait for an answer: number → function(answer). */
const waiting = new SafeMap();
let lastQuestion = 0;

/** `message` begins with its type, by which the host tells the large kinds. */
function ask(run, message, receive) {
  lastQuestion += 1;
  const question = lastQuestion;
  run.questions += 1;
  waiting.set(question, (reply) => {
    run.questions -= 1;
    current.run(run, receive, reply);
  });
  message.run = run.number;
  message.question = question;
  send(message);
}

/** The host answered. */
function receiveAnswer(message) {
  const receive = waiting.get(message.question);
  waiting.delete(message.question);
  receive?.(message);
}

function failure(message, code, more) {
  return Object.assign(new Error(message), { code, ...more });
}

/** Call back, or settle a promise where no callback was given. */
function either(callback, work) {
  if (typeof callback === 'function') {
    work(callback);
    return undefined;
  }
  return new Promise((resolve, reject) => {
    work((error, value) => (error ? reject(error) : resolve(value)));
  });
}

function makeStorage(run, maxBytes) {
  // The version last seen by this run: set() without force is refused when somebody wrote since.
  let etag = null;
  return {
    get(options, callback) {
      return either(typeof options === 'function' ? options : callback, (done) => {
        ask(run, { __proto__: null, type: 'storage_get' }, (reply) => {
          if (reply.error) return done(failure(reply.error, 500));
          etag = reply.etag;
          return done(null, reply.data === null ? undefined : reply.data);
        });
      });
    },
    set(data, options, callback) {
      const force = typeof options === 'object' && options !== null && Boolean(options.force);
      return either(typeof options === 'function' ? options : callback, (done) => {
        const text = stringify(data) ?? 'null';
        if (byteLength(text) > maxBytes) {
          process.nextTick(done, failure(`The document is larger than ${maxBytes} bytes.`, 413));
          return;
        }
        ask(run, { __proto__: null, type: 'storage_set', data: new RawJSON(text), etag, force }, (reply) => {
          etag = reply.etag ?? etag;
          if (reply.conflict) {
            return done(failure('The document changed since it was read.', 409, { conflict: reply.data }));
          }
          return reply.error ? done(failure(reply.error, 500)) : done(null);
        });
      });
    },
  };
}

/** A body that is text or a list has no named parts. */
function partsOf(body) {
  return typeof body === 'object' && !Array.isArray(body) ? body : {};
}

function makeWebtask(run, message) {
  const given = message.webtask;
  return {
    id: message.id,
    attempt: message.attempt,
    secrets: given.secrets,
    params: given.params,
    data: given.data ?? { ...given.query, ...given.params, ...given.secrets, ...partsOf(given.body) },
    body: given.body,
    meta: given.meta,
    query: given.query,
    headers: given.headers,
    storage: makeStorage(run, message.storage_bytes),
  };
}

module.exports = { makeWebtask, receiveAnswer };
