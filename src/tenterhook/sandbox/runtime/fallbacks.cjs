'use strict';
// What Node reads from /proc and netlink, which a jail has not. Packages ask for it in passing (a logger its memory, a
// pool the number of processors) and do not expect to be refused, so they get what can be known without.

const os = require('node:os');
const { syncBuiltinESMExports } = require('node:module');
const v8 = require('node:v8');
const { apply, defineProperty, keys } = require('./primordials.cjs');

/** Call the original, and `instead` where that throws. */
function fallBack(object, name, instead) {
  const original = object[name];
  const replacement = function (...values) {
    try {
      return apply(original, this, values);
    } catch {
      return instead();
    }
  };
  defineProperty(replacement, 'name', { __proto__: null, value: name });
  // memoryUsage.rss
  for (const key of keys(original)) replacement[key] = original[key];
  object[name] = replacement;
}

const mostResident = () => process.resourceUsage().maxRSS * 1024;

function memoryUsage() {
  const heap = v8.getHeapStatistics();
  return {
    rss: mostResident(),
    heapTotal: heap.total_heap_size,
    heapUsed: heap.used_heap_size,
    external: heap.external_memory,
    arrayBuffers: 0,
  };
}

function processors() {
  const times = () => ({ user: 0, nice: 0, sys: 0, idle: 0, irq: 0 });
  return Array.from({ length: os.availableParallelism() }, () => ({ model: 'unknown', speed: 0, times: times() }));
}

function user() {
  const homedir = process.env.HOME ?? '/tmp';
  return { uid: process.getuid(), gid: process.getgid(), username: 'hook', homedir, shell: null };
}

function install() {
  const { rss } = process.memoryUsage;
  fallBack(process, 'memoryUsage', memoryUsage);
  process.memoryUsage.rss = rss;
  fallBack(process.memoryUsage, 'rss', mostResident);
  fallBack(os, 'networkInterfaces', () => ({}));
  fallBack(os, 'userInfo', user);
  fallBack(os, 'uptime', () => process.uptime());
  fallBack(os, 'loadavg', () => [0, 0, 0]);
  fallBack(os, 'getPriority', () => 0);
  for (const name of ['freemem', 'totalmem']) fallBack(os, name, () => v8.getHeapStatistics().heap_size_limit);
  fallBack(process, 'resourceUsage', () => ({}));
  const { cpus } = os;
  os.cpus = () => {
    const found = cpus();
    return found.length > 0 ? found : processors();
  };
  const { availableMemory } = process;
  process.availableMemory = () => {
    const heap = v8.getHeapStatistics();
    return availableMemory() || heap.heap_size_limit - heap.used_heap_size;
  };
  // It lists the network's interfaces.
  if (process.report) process.report.excludeNetwork = true;
  syncBuiltinESMExports();
}

module.exports = { install };
