"""Attempts on files: reading, writing and executing what is not the tenant's own."""

from __future__ import annotations

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import EVERYWHERE, NAMESPACES, Attempt, Mode, changed, learned

TREE = frozenset({Protection.MOUNT_NAMESPACE, Protection.LANDLOCK})
"""Each of the two keeps the host's files away; gate mode has only the second."""
WRITING = TREE | {Protection.READ_ONLY_TREE, Protection.OWN_UID}

_DIRECTLY = "The file can be read by every user of the machine: nothing but the sandbox is in the way."

ATTEMPTS = [
    Attempt(
        name="read a file that every user may read",
        code="told(true, require('fs').readFileSync(host.secret, 'utf8'))",
        removed=TREE,
        escaped=learned,
    ),
    Attempt(
        name="read a file with openat2, which no library uses",
        code="""
            const how = pointers(0, 0, 0), space = Buffer.alloc(64);
            const handle = sys('openat2', -100, host.secret, how, 24);
            const result = handle < 0 ? handle : sys('read', handle, space, 64);
            told(result > 0, result > 0 ? space.toString() : word(result))""",
        removed=TREE | {Protection.SECCOMP},
        escaped=learned,
    ),
    Attempt(
        name="read the passwords of the machine",
        code="told(true, require('fs').readFileSync('/etc/passwd', 'utf8').includes('root:') ? 'passwd' : 'empty')",
        removed=TREE,
    ),
    Attempt(
        name="see a file with stat",
        code="told(true, require('fs').statSync(host.secret).size)",
        removed=TREE,
        held=NAMESPACES,
        proven=NAMESPACES,
        why="Landlock does not judge stat(2): in gate mode names, sizes and times can be seen.",
    ),
    Attempt(
        name="list the folders of the machine",
        code="""
            const seen = ['/', '/home', '/usr/bin', '/etc', '/var', host.folder].flatMap((folder) =>
              attempt(() => require('fs').readdirSync(folder).map((name) => folder + '/' + name)));
            told(seen.some((path) => path.includes('/usr/bin/') || path.endsWith('/secret')), seen.slice(0, 20))""",
        removed=TREE,
    ),
    Attempt(
        name="walk out with ..",
        code="""
            const up = '../'.repeat(30);
            told(true, require('fs').readFileSync(up + host.secret.slice(1), 'utf8'))""",
        removed=TREE,
        escaped=learned,
    ),
    Attempt(
        name="follow a symbolic link from the scratch folder",
        code="""
            const fs = require('fs'), links = [require('os').tmpdir(), host.folder].map((folder) => folder + '/link' + process.hrtime.bigint());
            for (const link of links) attempt(() => fs.symlinkSync(host.secret, link));
            told(true, links.map((link) => attempt(() => fs.readFileSync(link, 'utf8'))))""",
        removed=WRITING,
        escaped=learned,
    ),
    Attempt(
        name="follow a symbolic link in a module set",
        code="""
            const path = require('path'), set = path.dirname(path.dirname(path.dirname(require.resolve('attack'))));
            told(true, require('fs').readFileSync(path.join(set, host.link), 'utf8'))""",
        removed=TREE,
        escaped=learned,
    ),
    Attempt(
        name="give a file another name (hard link)",
        code="""
            const fs = require('fs'), link = host.folder + '/linked';
            fs.linkSync(host.target, link);
            const was = fs.readFileSync(link, 'utf8');
            fs.unlinkSync(link);
            told(was === 'as it was', was)""",
        removed=WRITING,
    ),
    Attempt(
        name="write a file that every user may write",
        code="require('fs').writeFileSync(host.target, 'written'); told(true, 'written')",
        removed=WRITING,
        escaped=changed,
    ),
    Attempt(
        name="shorten a file by its name",
        code="require('fs').truncateSync(host.target, 0); told(true, 'shortened')",
        removed=WRITING | {Protection.SECCOMP},
        escaped=changed,
    ),
    Attempt(
        name="rename a file over another",
        code="require('fs').renameSync(host.target, host.secret); told(true, 'renamed')",
        removed=WRITING,
        escaped=changed,
    ),
    Attempt(
        name="make a file in a folder that every user may write",
        code="require('fs').writeFileSync(host.folder + '/planted', 'x'); told(true, 'made')",
        removed=WRITING,
    ),
    Attempt(
        name="write beside Node and the runtime",
        code="""
            const fs = require('fs'), path = require('path');
            const folders = ['/', '/etc', '/runtime', '/node/bin', path.dirname(process.execPath), path.dirname(require.main?.filename ?? process.argv[1])];
            const results = folders.map((folder) => attempt(() => { fs.writeFileSync(folder + '/planted', 'x'); fs.unlinkSync(folder + '/planted'); return 'WROTE'; }));
            told(results.includes('WROTE'), results)""",
        removed=WRITING,
        proven=frozenset({Mode.ROOT}),
        why="Node lies in a folder that the user may write, or not, as it was installed.",
    ),
    Attempt(
        name="write into an installed module set",
        code="""
            const file = require.resolve('attack');
            require('fs').appendFileSync(file, '// planted'); told(true, 'written')""",
        removed=WRITING,
        held=EVERYWHERE,
        proven=frozenset({Mode.ROOT}),
        why="The modules of this test belong to the user who ran it.",
    ),
    Attempt(
        name="open the memory of the own process through /proc",
        code="require('fs').closeSync(require('fs').openSync('/proc/self/mem', 'r+')); told(true, 'opened')",
        removed=TREE | {Protection.NO_PROC, Protection.PID_NAMESPACE},
    ),
    Attempt(
        name="read the environment of another process through /proc",
        code="told(true, require('fs').readFileSync(`/proc/${host.process.pid}/environ`, 'latin1'))",
        removed=TREE
        | {
            Protection.NO_PROC,
            Protection.PID_NAMESPACE,
            Protection.OWN_UID,
            Protection.CAPABILITIES,
            Protection.SECCOMP,
        },
        escaped=learned,
        proven=frozenset({Mode.ROOT, Mode.GATE}),
        why="A process in a user namespace has no rights over those outside; gate mode shows it.",
    ),
    Attempt(
        name="see the machine's settings through /proc and /sys",
        code="""
            const fs = require('fs');
            const results = ['/proc/sys/kernel/hostname', '/proc/meminfo', '/proc/mounts', '/sys/kernel/notes', '/proc/net/tcp', '/proc/1/cmdline'].map((path) => attempt(() => 'READ ' + fs.readFileSync(path).length));
            told(results.some((each) => each.startsWith('READ')), results)""",
        removed=TREE | {Protection.NO_PROC},
    ),
    Attempt(
        name="run a program of the machine",
        code="""
            const { spawnSync } = require('child_process');
            const done = spawnSync('/bin/sh', ['-c', 'echo ran']);
            told(String(done.stdout).includes('ran'), done.error?.code ?? done.status)""",
        removed=TREE | {Protection.SECCOMP, Protection.THREADS_LIMIT},
        proven=frozenset(),
        why="The runtime refuses it first, for the author's sake; native code does the same below.",
    ),
    Attempt(
        name="become a program of the machine",
        code="""
            require('fs').accessSync('/bin/true');
            const result = sys('execve', '/bin/true', pointers(native.address(Buffer.from('true\\0')), 0), pointers(0));
            told(false, word(result))""",
        removed=TREE,
        escaped=lambda observed: observed.ended,
        alone=True,
    ),
    Attempt(
        name="map code that was written to the scratch folder",
        code="""
            const fs = require('fs'), path = require('path');
            const own = path.join(path.dirname(require.resolve('attack')), 'attack.node');
            const copy = require('os').tmpdir() + '/copy' + process.hrtime.bigint() + '.node';
            fs.copyFileSync(own, copy);
            const module = { exports: {} };
            process.dlopen(module, copy);
            fs.unlinkSync(copy);
            told(typeof module.exports.syscall === 'function', 'loaded')""",
        removed=frozenset({Protection.NO_EXEC_SCRATCH, Protection.LANDLOCK}),
        proven=NAMESPACES,
        why="In gate mode there is no folder to write to.",
    ),
    Attempt(
        name="execute a file without a name (memfd)",
        code="""
            const handle = sys('memfd_create', 'x', 0);
            if (handle < 0) return told(false, word(handle));
            sys('write', handle, 'no program', 10);
            const result = sys('execveat', handle, '', pointers(0), pointers(0), 0x1000);
            told(considered(result), word(result))""",
        removed=frozenset({Protection.SECCOMP, Protection.LANDLOCK}),
    ),
    Attempt(
        name="let the dynamic linker run a file from the scratch folder",
        code="""
            const fs = require('fs'), path = require('path');
            const linker = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1', '/lib64/ld-linux-aarch64.so.1'].find((file) => fs.existsSync(file));
            const copy = Buffer.from(require('os').tmpdir() + '/linked\\0');
            fs.copyFileSync(path.join(path.dirname(require.resolve('attack')), 'attack.node'), copy.toString().slice(0, -1));
            const preload = Buffer.from('LD_PRELOAD=' + copy);
            const flag = Buffer.from('--verify\\0');
            told(false, word(sys('execve', linker, pointers(Buffer.from(linker + '\\0'), flag, copy, 0), pointers(preload, 0))))""",
        removed=frozenset({Protection.NO_EXEC_SCRATCH, Protection.LANDLOCK}),
        escaped=lambda observed: "status 0" in observed.words or "status 2" in observed.words,
        proven=NAMESPACES,
        why="In gate mode there is no folder to write to.",
        alone=True,
    ),
    Attempt(
        name="open a file by its handle",
        code="""
            const handle = Buffer.alloc(136), mount = Buffer.alloc(8);
            handle.writeUInt32LE(128, 0);
            let result = sys('name_to_handle_at', -100, require('os').tmpdir(), handle, mount, 0);
            if (result < 0) return told(false, word(result));
            result = sys('open_by_handle_at', -100, handle, 0);
            told(result >= 0 || word(result) !== 'EPERM', word(result))""",
        removed=frozenset(
            {
                Protection.SECCOMP,
                Protection.LANDLOCK,
                Protection.OWN_UID,
                Protection.CAPABILITIES,
                Protection.MOUNT_NAMESPACE,
            }
        ),
        proven=frozenset({Mode.ROOT}),
        why="The kernel wants CAP_DAC_READ_SEARCH for it.",
    ),
    Attempt(
        name="make a device",
        code="call('mknodat', -100, require('os').tmpdir() + '/device' + process.hrtime.bigint(), 0o20666, 0x103)",
        removed=frozenset(
            {Protection.SECCOMP, Protection.LANDLOCK, Protection.OWN_UID, Protection.CAPABILITIES}
        ),
        proven=frozenset({Mode.ROOT}),
        why="The kernel wants CAP_MKNOD for it, in the machine's own user namespace.",
    ),
    Attempt(
        name="make a named pipe for others",
        code="call('mknodat', -100, require('os').tmpdir() + '/pipe' + process.hrtime.bigint(), 0o10666, 0)",
        removed=frozenset({Protection.SECCOMP, Protection.LANDLOCK}),
        proven=NAMESPACES,
        why="In gate mode there is no folder to make it in.",
    ),
    Attempt(
        name="watch folders",
        code="call('inotify_init1', 0)",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="build an own Landlock domain",
        code="call('landlock_create_ruleset', pointers(0x1fff, 0), 16, 0)",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="move a file out of the scratch folder",
        code="""
            const fs = require('fs'), file = require('os').tmpdir() + '/moved' + process.hrtime.bigint();
            fs.writeFileSync(file, 'x');
            const results = ['/modules', '/runtime', '/etc', '/'].map((folder) => attempt(() => { fs.renameSync(file, folder + '/moved'); return 'MOVED'; }));
            results.push(attempt(() => { fs.linkSync(file, '/moved'); return 'MOVED'; }));
            told(results.includes('MOVED'), results)""",
        removed=frozenset({Protection.LANDLOCK, Protection.READ_ONLY_TREE}),
        proven=frozenset(),
        why="The scratch folder is a file system of its own, over whose edge nothing can be moved or linked.",
    ),
]
