'use strict';
// worker_threads within the process's memory limit. A worker reserves 128 MiB for code alone unless told otherwise, and
// where the limit does not allow it V8 ends the whole process; so each gets less, and there are only a few.
//
// Its console lines come through process.stdout of this thread and belong to the run that made it, and so do errors that
// it does not catch. Connections of a worker are seen by the gate but by nothing here: they belong to whoever is open.

const { syncBuiltinESMExports } = require('node:module');
const v8 = require('node:v8');
const workerThreads = require('node:worker_threads');

const MOST = 4;
const CODE_MB = 16;
const STACK_MB = 4;
const YOUNG_MB = 8;

const number = (value, otherwise) => (typeof value === 'number' && value > 0 ? value : otherwise);

function install() {
  const { Worker } = workerThreads;
  const heapMb = Math.floor(v8.getHeapStatistics().heap_size_limit / 4 / 1024 / 1024);
  const { min } = Math;
  let open = 0;

  class LimitedWorker extends Worker {
    constructor(file, options = {}) {
      if (open >= MOST) {
        const message = `A hook's process can have ${MOST} worker threads at a time`;
        throw Object.assign(new Error(message), { code: 'NOT_AVAILABLE' });
      }
      const asked = options?.resourceLimits ?? {};
      super(file, {
        ...options,
        resourceLimits: {
          maxOldGenerationSizeMb: min(number(asked.maxOldGenerationSizeMb, heapMb), heapMb),
          maxYoungGenerationSizeMb: min(number(asked.maxYoungGenerationSizeMb, YOUNG_MB), YOUNG_MB),
          codeRangeSizeMb: min(number(asked.codeRangeSizeMb, CODE_MB), CODE_MB),
          stackSizeMb: min(number(asked.stackSizeMb, STACK_MB), STACK_MB),
        },
      });
      open += 1;
      this.once('exit', () => { open -= 1; });
    }
  }
  Object.defineProperty(LimitedWorker, 'name', { value: 'Worker' });
  workerThreads.Worker = LimitedWorker;
  syncBuiltinESMExports();
}

module.exports = { install };
