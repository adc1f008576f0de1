'use strict';
// What would end the process, or go unheard, becomes an error of the run that did it.

const { responsible } = require('./run.cjs');

function refuse(name) {
  return function unavailable(...values) {
    const shown = values.filter((value) => ['number', 'string'].includes(typeof value)).join(', ');
    throw Object.assign(new Error(`process.${name}(${shown}) is not available in a hook`), { code: 'NOT_AVAILABLE' });
  };
}

function install() {
  for (const name of ['abort', 'exit', 'kill', 'reallyExit', '_kill', '_debugProcess', '_debugEnd', 'execve']) {
    if (name in process) process[name] = refuse(name);
  }
  const hear = {
    uncaughtException: (error) => responsible()?.fail(error),
    unhandledRejection: (reason) => responsible()?.fail(reason),
  };
  for (const event of Object.keys(hear)) process.on(event, hear[event]);
  // A hook or a module may clear listeners; without ours the next late error would end the process.
  for (const name of ['removeAllListeners', 'removeListener', 'off']) {
    const original = process[name];
    process[name] = function remove(...values) {
      const answer = original.apply(this, values);
      for (const event of Object.keys(hear)) {
        if (!process.listeners(event).includes(hear[event])) process.on(event, hear[event]);
      }
      return answer;
    };
  }
}

module.exports = { install };
