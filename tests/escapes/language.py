"""Attempts in JavaScript alone: the runtime's guards, Node's back doors, and escapes known from vm2 and from Realms.

``vm`` and Realms are no boundary here: code that leaves them is in the same jail. What is shown is that being out of them
gives nothing: the file, the processes and the variables of the machine stay out of reach.
"""

from __future__ import annotations

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import EVERYWHERE, Attempt, learned
from tests.escapes.files import TREE

# Each is an expression for Node's ``process`` (or a promise of it, or an object with it as ``found``) as seen from inside
# a vm context, which was given a function, a promise and a list.
_WAYS_OUT_OF_VM = {
    "constructor.constructor": "this.constructor.constructor('return process')()",
    "an error that the host throws": "(() => { try { given(); } catch (error) { return error.constructor.constructor('return process')(); } })()",
    "a function of the host": "given.constructor('return process')()",
    "a getter of the host's objects": "Object.getOwnPropertyDescriptor(given.__proto__.__proto__, '__proto__').get.constructor('return process')()",
    "a promise of the host (vm2, CVE-2023-37466)": "later.then.constructor('return process')()",
    "the iterator of a list of the host": "list[Symbol.iterator].constructor('return process')()",
    "the import that a context has not": "import('x').catch((error) => error.constructor.constructor('return process')())",
    "an object that the host inspects (vm2, CVE-2023-37903)": "({ [Symbol.for('nodejs.util.inspect.custom')](depth, options, inspect) { this.found = inspect.constructor('return process')(); return ''; } })",
    "the frames of a stack (vm2, CVE-2022-36067)": "(() => { let found; Error.prepareStackTrace = (_error, frames) => { for (const frame of frames) { try { found ??= (frame.getThis?.() ?? frame.getFunction?.()).constructor.constructor('return process')(); } catch {} } return found; }; return given(() => new Error().stack); })()",
    "a stack that overflows in the host": "(() => { const deep = () => { try { return deep(); } catch { try { given(); } catch (error) { return error.constructor.constructor('return process')(); } } }; return deep(); })()",
}

# Ways to the parts of Node that its own require does not show.
_BACK_DOORS = {
    "process.binding('fs')": "const fs = process.binding('fs'); if (!fs.open) throw Object.assign(new Error(), { code: 'NO_BINDING' }); return require('fs').readFileSync(host.secret, 'utf8')",
    "process.mainModule.require": "return (process.mainModule ?? module.parent ?? { require }).require('fs').readFileSync(host.secret, 'utf8')",
    "module.constructor._load": "return require('module')._load('fs').readFileSync(host.secret, 'utf8')",
    "createRequire at the root": "return require('module').createRequire('/')(host.secret)",
    "a dynamic import": "const fs = await import('node:fs'); return fs.readFileSync(host.secret, 'utf8')",
    "import of a file address": "return JSON.stringify(await import('file://' + host.secret))",
    "process.getBuiltinModule": "return process.getBuiltinModule('fs').readFileSync(host.secret, 'utf8')",
    "the internal require of a patched loader": "const Module = require('module'); const made = new Module('x'); made.paths = ['/']; return made.require(host.secret)",
    "WASI with the root opened": "const { WASI } = require('wasi'); const wasi = new WASI({ version: 'preview1', preopens: { '/': '/' } }); if (!wasi.wasiImport.path_open) throw new Error('no wasi'); return require('fs').readFileSync(host.secret, 'utf8')",
    "a worker with other rights": "const { Worker } = require('worker_threads'); return await new Promise((done, failed) => new Worker(`require('worker_threads').parentPort.postMessage(require('fs').readFileSync(${JSON.stringify(host.secret)}, 'utf8'))`, { eval: true, env: require('worker_threads').SHARE_ENV }).on('message', done).on('error', failed))",
    "a database file": "const { DatabaseSync } = require('node:sqlite'); const database = new DatabaseSync(':memory:'); database.exec(`ATTACH '${host.folder}/planted.db' AS planted; CREATE TABLE planted.x (y)`); return require('fs').readFileSync(host.secret, 'utf8')",
    "a source map or a heap snapshot": "const file = host.folder + '/heap'; require('v8').writeHeapSnapshot(file); return require('fs').readFileSync(host.secret, 'utf8')",
    "process.report": "process.report.directory = host.folder; process.report.writeReport(); return require('fs').readFileSync(host.secret, 'utf8')",
    "process.loadEnvFile": "process.loadEnvFile(host.secret); return require('fs').readFileSync(host.secret, 'utf8')",
    "require of a host path": "return require(host.secret)",
    "fs.openAsBlob": "return await (await require('fs').openAsBlob(host.secret)).text()",
    "fs.cp": "const fs = require('fs'); const to = require('os').tmpdir() + '/stolen' + process.hrtime.bigint(); fs.cpSync(host.secret, to); const words = fs.readFileSync(to, 'utf8'); fs.unlinkSync(to); return words",
}

ATTEMPTS = [
    *(
        Attempt(
            name=f"leave a vm context by {name}",
            code=f"""
                const vm = require('vm');
                const given = (call) => (typeof call === 'function' ? call() : missing);
                const found = await vm.runInNewContext({way!r}, {{ given, later: Promise.resolve(), list: [] }});
                require('util').inspect(found);
                told(true, (found.found ?? found).getBuiltinModule('fs').readFileSync(host.secret, 'utf8'))""",
            removed=TREE,
            escaped=learned,
        )
        for name, way in _WAYS_OUT_OF_VM.items()
    ),
    *(
        Attempt(
            name=f"read by {name}",
            code=f"const found = await (async () => {{ {code} }})().catch((error) => error.stack); told(true, typeof found === 'string' ? found : JSON.stringify(found))",
            removed=TREE
            | (
                {Protection.READ_ONLY_TREE, Protection.OWN_UID, Protection.SECCOMP}
                if "host.folder" in code or "cpSync" in code
                else frozenset()
            ),
            escaped=learned,
            proven=frozenset() if name == "require of a host path" else EVERYWHERE,
            why="The runtime's require takes no paths." if name == "require of a host path" else "",
        )
        for name, code in _BACK_DOORS.items()
    ),
    Attempt(
        name="read the host's environment",
        code="told(Object.keys(process.env).some((name) => name.startsWith('ESCAPES_')), Object.keys(process.env))",
        removed=frozenset({Protection.CLEAN_ENVIRONMENT}),
    ),
    Attempt(
        name="find secrets in the command line",
        code="told(JSON.stringify([process.argv, process.execArgv, process.title]).includes('secret'), [process.argv, process.execArgv].flat().join(' '))",
        removed=frozenset(),
        proven=frozenset(),
        why="Nothing of a tenant is ever put there.",
    ),
    Attempt(
        name="use a descriptor that was left open",
        code="""
            const open = [];
            for (let handle = 3; handle < 1024; handle += 1) {
              const kind = attempt(() => { const found = require('fs').fstatSync(handle); return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : found.isSocket() ? 'socket' : 'other'; });
              if (kind !== 'EBADF') open.push(`${handle} ${kind}`);
            }
            const foreign = open.filter((each) => each.endsWith('file') || each.endsWith('folder'));
            told(foreign.length > 0, foreign.length ? foreign : open.length)""",
        removed=frozenset({Protection.CLOSED_DESCRIPTORS}),
    ),
    Attempt(
        name="end the process with the functions that are taken away",
        code="""
            const results = ['exit', 'reallyExit', 'abort', 'kill', '_kill', 'execve'].filter((name) => name in process).map((name) => attempt(() => process[name](1)));
            told(results.some((each) => each === undefined), results)""",
        removed=frozenset(),
        proven=frozenset(),
        why="Ending its own process is no escape, and native code may; the guards are for the author's sake.",
    ),
]
