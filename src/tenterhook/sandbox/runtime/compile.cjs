'use strict';
// From a script's text to the function it exports.
//
// The script is compiled as a CommonJS module whose wrapper is made of parameters, not of text, so that every line and
// column in a stack trace is the author's. The error classes of the extensibility point are parameters too.

const { existsSync } = require('node:fs');
const { createRequire, isBuiltin } = require('node:module');
const vm = require('node:vm');
const { authorsStack, cut, describe, ours } = require('./errors.cjs');
const { RawJSON, stringify } = require('./primordials.cjs');

const COMPILE_MESSAGE = 'Unable to compile the extensibility code as javascript';
const NODE_MODULES = '/node_modules/';
const requireBuiltin = createRequire(__filename);

/** A script that cannot be loaded; `problem` goes to the host. */
class LoadError extends Error {
  constructor(problem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** The classes that the original defines before a script, in their documented form (message, friendlyMessage). */
function errorClasses(names) {
  class ExtensibilityUserError extends Error {
    constructor(message, friendlyMessage) {
      super(message);
      this.name = 'ExtensibilityUserError';
      this.friendlyMessage = friendlyMessage === undefined ? message : friendlyMessage;
    }
  }
  const classes = { ExtensibilityUserError };
  for (const name of names) {
    classes[name] = {
      [name]: class extends ExtensibilityUserError {
        constructor(message, friendlyMessage) {
          super(message, friendlyMessage);
          this.name = name;
        }
      },
    }[name];
  }
  return classes;
}

function notFound(message, specifier) {
  return Object.assign(new Error(message), { code: 'MODULE_NOT_FOUND', specifier });
}

/** Explain why a specifier leads nowhere, and what to do. */
function missing(specifier) {
  if (specifier.startsWith('.') || specifier.startsWith('/')) {
    return notFound(
      `Cannot find module '${specifier}': a hook is one file. Put the code into the hook, or publish it as an npm package.`,
      specifier,
    );
  }
  const name = /^(@[^/]+\/)?[^/@]+/.exec(specifier)?.[0] ?? specifier;
  return notFound(
    `Cannot find module '${specifier}': the hook does not declare it. Add "${name}" with a version to the hook's ` +
      `dependencies, or write require('${name}@1.2.3') with the version you want.`,
    specifier,
  );
}

/** `require` for one script: Node's own modules, and the packages that its require map names. */
function makeRequire(requireMap) {
  const specifiers = Object.keys(requireMap).sort((a, b) => b.length - a.length);

  function locate(specifier) {
    if (typeof specifier !== 'string' || specifier === '') {
      throw Object.assign(new TypeError('require() takes the name of a module'), { code: 'ERR_INVALID_ARG_TYPE' });
    }
    if (isBuiltin(specifier)) return [requireBuiltin, specifier];
    const known = specifiers.find((each) => specifier === each || specifier.startsWith(`${each}/`));
    if (known === undefined) throw missing(specifier);
    const folder = requireMap[known];
    const rest = specifier.slice(known.length);
    // By name from beside its node_modules, so that the package's own "exports" decide about sub-paths.
    const cutAt = folder.lastIndexOf(NODE_MODULES);
    if (cutAt === -1) return [createRequire(`${folder}/package.json`), folder + rest];
    return [createRequire(`${folder.slice(0, cutAt)}/hook.js`), folder.slice(cutAt + NODE_MODULES.length) + rest];
  }

  function require(specifier) {
    const [load, name] = locate(specifier);
    return load(name);
  }
  require.resolve = (specifier) => {
    const [load, name] = locate(specifier);
    return load.resolve(name);
  };
  require.cache = requireBuiltin.cache;
  require.main = undefined;
  return require;
}

function checkInstalled(requireMap) {
  for (const [specifier, folder] of Object.entries(requireMap)) {
    if (!existsSync(`${folder}/package.json`)) {
      throw new LoadError(
        ours('MODULE_NOT_FOUND', `Cannot find module '${specifier}': it is declared, but not installed here.`),
      );
    }
  }
}

function compileText(script, names) {
  const parameters = ['exports', 'require', 'module', '__filename', '__dirname', ...names];
  const options = {
    __proto__: null,
    filename: script.file_name,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  };
  try {
    return [vm.compileFunction(script.source, parameters, options), names];
  } catch (error) {
    // A script may declare a class of the same name itself, which clashes with a parameter but not with the original.
    const clash = /^Identifier '(.+)' has already been declared$/.exec(error?.message ?? '');
    if (clash && names.includes(clash[1])) {
      return compileText(script, names.filter((name) => name !== clash[1]));
    }
    throw error;
  }
}

/** `my-hook.js:3:14`, from the caret that V8 draws under the offending source, or from the first frame. */
function position(stack, fileName) {
  const lines = stack.split('\n');
  const line = lines[0].startsWith(`${fileName}:`) ? /:(\d+)$/.exec(lines[0])?.[1] : undefined;
  const caret = lines.find((each) => /^\s*\^+\s*$/.test(each));
  if (line !== undefined && caret !== undefined) return `${fileName}:${line}:${caret.indexOf('^') + 1}`;
  const frame = lines.find((each) => each.includes(`${fileName}:`));
  return frame === undefined ? undefined : /[^\s(]+:\d+:\d+/.exec(frame)?.[0];
}

function compileProblem(error, script) {
  const described = describe(error);
  const at = position(typeof error?.stack === 'string' ? error.stack : '', script.file_name);
  const what = `${described.name}: ${described.message}`;
  const description = at === undefined ? what : `${at}: ${what}`;
  if (described.code === 'MODULE_NOT_FOUND') {
    return ours('MODULE_NOT_FOUND', described.message, described.stack, described.properties);
  }
  const stack = typeof error?.stack === 'string' ? cut(authorsStack(error.stack), 32_768) : null;
  return ours('COMPILE_FAILED', COMPILE_MESSAGE, stack, new RawJSON(`{"error_description":${stringify(description)}}`));
}

/** Compile and load a script; answer the function it exports, or throw a LoadError. */
function load(script) {
  checkInstalled(script.require_map);
  const module = { exports: {}, id: script.file_name, filename: script.file_name, loaded: false, children: [], paths: [] };
  const classes = errorClasses(script.error_classes);
  try {
    const [wrapper, names] = compileText(script, Object.keys(classes));
    wrapper.call(
      module.exports,
      module.exports,
      makeRequire(script.require_map),
      module,
      script.file_name,
      '.',
      ...names.map((name) => classes[name]),
    );
  } catch (error) {
    throw new LoadError(compileProblem(error, script));
  }
  module.loaded = true;
  if (typeof module.exports !== 'function') {
    const found = module.exports === null ? 'null' : typeof module.exports;
    throw new LoadError(
      ours('NOT_A_FUNCTION', `module.exports must be a function, but it is ${found}: func is not a function`),
    );
  }
  return module.exports;
}

module.exports = { LoadError, load };
