'use strict';
// The JavaScript that runs inside: takes runs from the host, one frame each, and tells what becomes of them.
//
//   host → run {run, script?|key, args…}   forget {key}   abandon {run}   answer {question, …}
//   here → ready  started  console  called_back  late_error  connection  lookup  call  note  settled  failed
//          storage_get  storage_set

const { listen, send } = require('./channel.cjs');
const { LoadError, load } = require('./compile.cjs');
const { describe } = require('./errors.cjs');
const { SafeMap, apply, hasOwn, then } = require('./primordials.cjs');
const { Run, current, runs } = require('./run.cjs');
const resources = require('./open_resources.cjs');
const { makeWebtask, receiveAnswer } = require('./webtask.cjs');

const isPromise = require('node:util').types.isPromise;

/** key → script and, once it could be loaded, key → exported function; the host decides what is kept. */
const scripts = new SafeMap();
const functions = new SafeMap();

/** The function of a script, or undefined when the script cannot be loaded (the host is told). */
function functionOf(run, message) {
  if (functions.has(message.key)) return functions.get(message.key);
  if (hasOwn(message, 'script')) scripts.set(message.key, message.script);
  try {
    const loaded = load(scripts.get(message.key));
    functions.set(message.key, loaded);
    return loaded;
  } catch (error) {
    const problem = error instanceof LoadError ? error.problem : describe(error);
    send({ __proto__: null, type: 'failed', run: run.number, error: problem });
    return undefined;
  }
}

function call(run, message) {
  const hook = functionOf(run, message);
  if (hook === undefined) {
    resources.abandon(run);
    return;
  }
  const values = message.arguments;
  const context = values[message.context_index];
  if (context !== null && typeof context === 'object') context.webtask = makeWebtask(run, message);
  try {
    values[values.length] = (error, result) => run.answer(error, result);
    const returned = apply(hook, undefined, values);
    // A promise that is fulfilled means nothing (cb decides); one that is rejected is an error like any other.
    if (isPromise(returned)) then(returned, undefined, (error) => run.fail(error));
    else if (typeof returned?.then === 'function') returned.then(undefined, (error) => run.fail(error));
  } catch (error) {
    run.fail(error);
  }
}

const receivers = {
  __proto__: null,
  run(message) {
    const run = new Run(message);
    runs.set(run.number, run);
    send({ __proto__: null, type: 'started', run: run.number });
    current.run(run, call, run, message);
    run.returned = true;
    if (!run.settled) resources.watch(run);
  },
  forget(message) {
    scripts.delete(message.key);
    functions.delete(message.key);
  },
  abandon(message) {
    const run = runs.get(message.run);
    if (run !== undefined) resources.abandon(run);
  },
  answer: receiveAnswer,
};

require('./fallbacks.cjs').install();
resources.install();
require('./outgoing_calls.cjs').install();
require('./outgoing_connections.cjs').install();
require('./workers.cjs').install();
require('./hook_console.cjs').install();
require('./guards.cjs').install();

listen((message) => receivers[message.type](message));
send({ __proto__: null, type: 'ready', node: process.version });
