"""Attempts on another tenant: its memory, files, modules, descriptors, names, and whether it is there at all.

The other tenant's code runs first and stays, in the same pool; it tells what an attacker could at best have guessed.
"""

from __future__ import annotations

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import NAMESPACES, Attempt, Mode
from tests.escapes.processes import FOREIGN, OUTSIDE, USER_NAMESPACE

_STAYS = "setInterval(() => {}, 1000);"

SHARING = frozenset(
    {
        Protection.SECCOMP,
        Protection.IPC_NAMESPACE,
        Protection.OWN_UID,
        Protection.LANDLOCK,
        Protection.CAPABILITIES,
    }
)

ATTEMPTS = [
    Attempt(
        name="read another tenant's memory",
        other=f"""
            const secret = Buffer.from('a secret of another tenant: ' + Math.random());
            globalThis.kept = secret;
            ready({{ address: String(native.address(secret)), bytes: secret.length }}); {_STAYS}""",
        code="""
            const { address, bytes } = host.other, space = Buffer.alloc(bytes);
            const result = sys('process_vm_readv', host.other_pid, pointers(space, bytes), 1, pointers(BigInt(address), bytes), 1, 0);
            told(space.toString().startsWith('a secret'), result < 0 ? word(result) : space)""",
        removed=FOREIGN,
        proven=OUTSIDE,
        why=USER_NAMESPACE,
    ),
    Attempt(
        name="signal another tenant's process",
        other=f"ready({{}}); {_STAYS}",
        code="const result = sys('kill', host.other_pid, 0); told(result === 0, word(result))",
        removed=FOREIGN,
    ),
    Attempt(
        name="find out that another tenant is there",
        other=f"ready({{}}); {_STAYS}",
        code="""
            const found = [];
            for (let pid = 2; pid < 100000; pid += 1) if (word(sys('kill', pid, 0)) !== 'ESRCH' && ![0, process.pid, process.ppid].includes(pid)) { found.push(pid); break; }
            const listed = attempt(() => require('fs').readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid));
            told((found.length > 0 && sys('kill', found[0], 0) === 0) || (Array.isArray(listed) && listed.length > 0), [found, listed])""",
        removed=FOREIGN | {Protection.NO_PROC, Protection.MOUNT_NAMESPACE},
    ),
    Attempt(
        name="see another tenant's process by the name of its folder in /proc",
        other=f"ready({{}}); {_STAYS}",
        code="told(require('fs').existsSync(`/proc/${host.other_pid}`), 'looked')",
        removed=FOREIGN | {Protection.NO_PROC, Protection.MOUNT_NAMESPACE},
        held=NAMESPACES,
        proven=NAMESPACES,
        why="Landlock does not judge stat(2): in gate mode process numbers can be seen.",
    ),
    Attempt(
        name="find another tenant's files in the scratch folder",
        other=f"""
            const file = require('os').tmpdir() + '/left-by-another';
            const result = attempt(() => {{ require('fs').writeFileSync(file, 'x', {{ mode: 0o666 }}); }});
            ready({{ file }}); {_STAYS}""",
        code="told(require('fs').existsSync(host.other.file), require('fs').readdirSync(require('os').tmpdir()))",
        removed=frozenset({Protection.MOUNT_NAMESPACE, Protection.LANDLOCK}),
        proven=frozenset(),
        why="Without a tree of its own each process still has a scratch folder of its own, or none.",
    ),
    Attempt(
        name="list another tenant's modules",
        code="""
            const path = require('path'), fs = require('fs');
            const folder = path.dirname(path.dirname(path.dirname(path.dirname(require.resolve('attack')))));
            const results = ['/modules', folder].map((each) => attempt(() => fs.readdirSync(each)));
            told(results.flat().some((name) => String(name).includes('of-another-tenant')), results.flat())""",
        other=f"ready({{}}); {_STAYS}",
        removed=frozenset({Protection.TENANT_MODULES, Protection.MOUNT_NAMESPACE, Protection.LANDLOCK}),
    ),
    Attempt(
        name="read another tenant's module by its path",
        code="""
            const path = require('path'), fs = require('fs');
            const folder = path.dirname(path.dirname(path.dirname(path.dirname(require.resolve('attack')))));
            const words = [`/modules/${host.other_set}`, `${folder}/${host.other_set}`, host.other_modules].map((each) => attempt(() => fs.readFileSync(each + '/secret.js', 'utf8')));
            told(words.some((each) => each.includes('module of another tenant')), words)""",
        other=f"ready({{}}); {_STAYS}",
        removed=frozenset({Protection.TENANT_MODULES, Protection.MOUNT_NAMESPACE, Protection.LANDLOCK}),
    ),
    Attempt(
        name="search files, memory and variables for another tenant",
        other=f"""
            attempt(() => require('fs').writeFileSync(require('os').tmpdir() + '/kept', 'of-the-' + 'other-tenant-file'));
            ready({{}}); {_STAYS}""",
        code="""
            const fs = require('fs'), path = require('path'), v8 = require('v8'), mark = 'of-the-' + 'other-tenant-', found = [];
            const modules = path.dirname(path.dirname(path.dirname(path.dirname(require.resolve('attack')))));
            let looked = 0;
            const search = (folder, depth) => {
              for (const entry of attempt(() => fs.readdirSync(folder, { withFileTypes: true })) ?? []) {
                const name = path.join(folder, entry.name ?? '?');
                if (looked++ > 3000) return;
                if (entry.isDirectory?.() && depth < 6) search(name, depth + 1);
                else if (entry.isFile?.()) { const text = attempt(() => fs.statSync(name).size < 1e6 ? fs.readFileSync(name, 'latin1') : ''); if (text.includes(mark)) found.push(name); }
              }
            };
            for (const folder of [modules, '/modules', '/runtime', '/etc', require('os').tmpdir()]) search(folder, 0);
            let heap = '';
            for await (const piece of v8.getHeapSnapshot()) heap += piece.toString('latin1').match(/of-the-other-tenant-[a-z]+/g)?.join() ?? '';
            if (heap) found.push('heap ' + heap);
            if (JSON.stringify([process.env, process.argv, Object.keys(globalThis)]).includes(mark)) found.push('variables');
            told(found.length > 0, found.length ? found : looked + ' files')""",
        removed=frozenset({Protection.TENANT_MODULES, Protection.MOUNT_NAMESPACE, Protection.LANDLOCK}),
    ),
    Attempt(
        name="change the prototypes of another tenant",
        code="""
            Object.prototype.planted = 'by another tenant';
            require('https').request = () => { throw new Error('taken over'); };
            JSON.stringify = new Proxy(JSON.stringify, {});
            await later(50);
            delete Object.prototype.planted;
            told(host.other.planted !== null, host.other.planted)""",
        other=f"ready({{ planted: {{}}.planted ?? null }}); {_STAYS}",
        removed=frozenset(),
        proven=frozenset(),
        why="Tenants share no process: there is nothing to take away.",
        alone=True,
    ),
    Attempt(
        name="meet another tenant in shared memory",
        other=f"""
            const id = sys('shmget', host.key, 4096, 0o1666);
            ready({{ id: word(id) }}); setTimeout(() => sys('shmctl', id, 0, 0), 4000); {_STAYS}""",
        code="""
            const id = sys('shmget', host.key, 4096, 0o666);
            if (id >= 0) sys('shmctl', id, 0, 0);
            told(id >= 0, word(id))""",
        removed=SHARING,
    ),
    Attempt(
        name="meet another tenant in a message queue",
        other=f"""
            const id = sys('msgget', host.key, 0o1666);
            ready({{ id: word(id) }}); {_STAYS}""",
        code="""
            const id = sys('msgget', host.key, 0o666);
            if (id >= 0) sys('msgctl', id, 0, 0);
            told(id >= 0, word(id))""",
        removed=SHARING,
    ),
    Attempt(
        name="meet another tenant in a set of semaphores",
        other=f"""
            const id = sys('semget', host.key, 1, 0o1666);
            ready({{ id: word(id) }}); {_STAYS}""",
        code="""
            const id = sys('semget', host.key, 1, 0o666);
            if (id >= 0) sys('semctl', id, 0, 0, 0);
            told(id >= 0, word(id))""",
        removed=SHARING,
    ),
    Attempt(
        name="meet another tenant in a POSIX message queue",
        other=f"""
            const queue = sys('mq_open', host.abstract, 0o102, 0o666, 0);
            ready({{ queue: word(queue) }}); {_STAYS}""",
        code="""
            const queue = sys('mq_open', host.abstract, 2, 0, 0);
            if (queue >= 0) sys('mq_unlink', host.abstract);
            told(queue >= 0, word(queue))""",
        removed=SHARING,
    ),
    Attempt(
        name="meet another tenant at an abstract socket",
        other=f"""
            const handle = sys('socket', 1, 1, 0), name = local('@met-' + host.abstract);
            const results = [handle, sys('bind', handle, name, name.length), sys('listen', handle, 1)];
            ready({{ results: results.map(word) }}); {_STAYS}""",
        code="const result = connected(local('@met-' + host.abstract)); told(result >= 0, word(result))",
        removed=frozenset(
            {Protection.SECCOMP, Protection.CONNECT_GATE, Protection.NETWORK_NAMESPACE, Protection.LANDLOCK}
        ),
    ),
    Attempt(
        name="meet another tenant at a loopback port",
        other=f"""
            const server = require('net').createServer((socket) => socket.end('met'));
            server.on('error', (error) => ready({{ port: null, code: error.code }}));
            server.listen(0, '127.0.0.1', () => ready({{ port: server.address().port }})); {_STAYS}""",
        code="""
            if (host.other.port === null) return told(false, host.other.code);
            require('net').connect(host.other.port, '127.0.0.1').on('data', (data) => told(String(data) === 'met', data)).on('error', (error) => told(false, error.code));""",
        removed=frozenset(
            {Protection.SECCOMP, Protection.CONNECT_GATE, Protection.NETWORK_NAMESPACE, Protection.LANDLOCK}
        ),
    ),
    Attempt(
        name="lock a file against another tenant",
        code="call('landlock_restrict_self', -1, 0)",
        removed=frozenset({Protection.SECCOMP}),
        proven=frozenset(),
        why="There is no file that two tenants can write.",
    ),
    Attempt(
        name="slow down another tenant by priority",
        other=f"ready({{}}); {_STAYS}",
        code="call('setpriority', 0, 0, -20)",
        removed=frozenset({Protection.SECCOMP, Protection.OWN_UID, Protection.CAPABILITIES}),
        proven=frozenset({Mode.ROOT}),
        why="The kernel wants CAP_SYS_NICE for it.",
        alone=True,
    ),
    Attempt(
        name="signal to an accomplice by a lock on a file that both can read",
        other=f"""
            const handle = require('fs').openSync(process.execPath), lock = Buffer.alloc(32);
            lock.writeBigInt64LE(4096n, 8); lock.writeBigInt64LE(BigInt(host.key), 16);
            ready({{ result: word(sys('fcntl', handle, 6, lock)) }}); {_STAYS}""",
        code="""
            const handle = require('fs').openSync(process.execPath), lock = Buffer.alloc(32);
            lock.writeInt16LE(1, 0); lock.writeBigInt64LE(4096n, 8); lock.writeBigInt64LE(BigInt(host.key), 16);
            const result = sys('fcntl', handle, 5, lock);
            told(result === 0 && lock.readInt16LE(0) !== 2, word(result))""",
        removed=frozenset(),
        held=frozenset(),
        proven=frozenset(),
        why="Nothing of the other tenant's is learnt against its will; node:sqlite needs locks.",
    ),
    Attempt(
        name="see how busy the machine is",
        code="const os = require('os'); told(os.freemem() > 0 && os.uptime() > 0, [os.loadavg(), os.freemem(), os.uptime()])",
        removed=frozenset(),
        held=frozenset(),
        proven=frozenset(),
        why="Node needs sysinfo(2), which tells of the whole machine: a side channel, of which the sandbox stops none.",
    ),
]
