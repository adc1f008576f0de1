"""Attempts to take more than a tenant's share: memory, processes, threads, descriptors, files, time."""

from __future__ import annotations

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import NAMESPACES, Attempt, survived

MEMORY = frozenset({Protection.MEMORY_LIMIT, Protection.CGROUP, Protection.SECCOMP})
_MEBIBYTES = 64
_MORE = 320

ATTEMPTS = [
    *(
        Attempt(
            name=f"take more memory than permitted: {name}",
            code=f"const had = {code}; told(had >= {_MORE} * 2 ** 20 * 0.9, Math.round(had / 2 ** 20) + ' MiB')",
            removed=MEMORY,
            escaped=survived,
            memory_mib=_MEBIBYTES,
            alone=True,
        )
        for name, code in {
            "mapped by native code": f"native.grab({_MORE} * 2 ** 20, 2)",
            "mapped to be shared": f"native.grab({_MORE} * 2 ** 20, 1)",
            "mapped as a stack": f"native.grab({_MORE} * 2 ** 20, 0x102)",
            "in buffers": f"(() => {{ const had = []; try {{ for (let i = 0; i < {_MORE // 16}; i += 1) had.push(Buffer.alloc(16 << 20, 1)); }} catch {{}} return had.length * (16 << 20); }})()",
            "in WebAssembly": f"(() => {{ const memory = new WebAssembly.Memory({{ initial: 1, maximum: 65536 }}); let pages = 1; try {{ while (pages < {_MORE} * 16) {{ memory.grow(256); pages += 256; new Uint8Array(memory.buffer, (pages - 256) * 65536).fill(1); }} }} catch {{}} return pages * 65536; }})()",
            "in shared buffers": f"(() => {{ const had = []; try {{ for (let i = 0; i < {_MORE // 16}; i += 1) had.push(new Uint8Array(new SharedArrayBuffer(16 << 20)).fill(1)); }} catch {{}} return had.length * (16 << 20); }})()",
        }.items()
    ),
    Attempt(
        name="take more memory than permitted: in a file without a name",
        code=f"""
            const handle = sys('memfd_create', 'x', 0), data = Buffer.alloc(1 << 20, 1);
            let had = 0;
            if (handle >= 0) while (had < {_MORE} && sys('write', handle, data, data.length) === data.length) had += 1;
            told(had >= {_MORE}, handle < 0 ? word(handle) : had + ' MiB')""",
        removed=MEMORY | {Protection.FILE_SIZE_LIMIT},
        memory_mib=_MEBIBYTES,
        alone=True,
    ),
    Attempt(
        name="take more memory than permitted: shared from a device of zeros, made writable later",
        code=f"""
            const zeros = sys('openat', -100, '/dev/zero', 2), step = 4 << 20;
            let had = 0, result = 0;
            while (had < {_MORE} << 20) {{
              const at = result = sys('mmap', 0, step, 1, 1, zeros, 0);
              if (result < 0 || (result = sys('mprotect', at, step, 3)) < 0) break;
              native.touch(at, step, 4096, 1);
              had += step;
            }}
            told(had >= {_MORE} << 20, (had >> 20) + ' MiB ' + word(result < 0 ? result : 0))""",
        removed=MEMORY | {Protection.LANDLOCK, Protection.MOUNT_NAMESPACE},
        escaped=survived,
        memory_mib=_MEBIBYTES,
        alone=True,
    ),
    Attempt(
        name="take more memory than permitted: in the kernel's page tables",
        code=f"""
            const wanted = {_MORE} << 8, at = sys('mmap', 0, wanted * 2 ** 21, 1, 0x4022, -1, 0);
            if (at < 0) return told(false, word(at));
            const done = native.touch(at, wanted * 2 ** 21, 2 ** 21, 0);
            sys('munmap', at, wanted * 2 ** 21);
            told(done === wanted, done * 4 / 1024 + ' MiB')""",
        removed=MEMORY,
        escaped=survived,
        memory_mib=_MEBIBYTES,
        alone=True,
    ),
    Attempt(
        name="take more memory than permitted: in the JavaScript heap",
        code="""
            const v8 = require('v8'), had = [];
            v8.setFlagsFromString('--max-old-space-size=2000');
            const heap = () => v8.getHeapStatistics().total_heap_size;
            while (heap() < 300 * 2 ** 20) { had.push(new Array(1e5).fill(Math.random())); await later(0); }
            told(true, Math.round(heap() / 2 ** 20) + ' MiB')""",
        removed=MEMORY,
        proven=frozenset(),
        why="The heap's own limit is fixed when Node starts.",
        memory_mib=_MEBIBYTES,
        alone=True,
    ),
    Attempt(
        name="make more threads than permitted",
        # In gate mode the threads are counted by the zygote, a few times a second.
        code="const made = native.threads(600, 3000); await later(1500); told(made === 600, made)",
        removed=frozenset({Protection.THREADS_LIMIT, Protection.CGROUP}),
        escaped=survived,
        alone=True,
    ),
    Attempt(
        name="make many workers",
        code="""
            const { Worker } = require('worker_threads');
            let online = 0, over = 0;
            const one = () => new Promise((done) => {
              try { const worker = new Worker('setTimeout(() => {}, 3000)', { eval: true, resourceLimits: { maxOldGenerationSizeMb: 4 } }); worker.on('online', () => { online += 1; done(); }).on('error', () => { over += 1; done(); }); }
              catch { over += 1; done(); }
            });
            await Promise.race([Promise.all(Array.from({ length: 40 }, one)), later(6000)]);
            told(online === 40, online)""",
        removed=frozenset({Protection.THREADS_LIMIT, Protection.CGROUP, Protection.MEMORY_LIMIT}),
        escaped=survived,
        proven=frozenset(),
        why="Forty workers need more than this test's time; threads are made by native code above.",
        alone=True,
    ),
    Attempt(
        name="make processes until no more go (fork bomb)",
        code="""
            let made = 0;
            while (made < 300 && native.child(0, 1000, native.numbers.clone, 17) > 0) made += 1;
            told(made > 200, made)""",
        removed=frozenset({Protection.SECCOMP, Protection.THREADS_LIMIT, Protection.CGROUP}),
        alone=True,
    ),
    Attempt(
        name="start programs until no more go",
        code="""
            const { spawn } = require('child_process');
            let made = 0, refused = '';
            await Promise.all(Array.from({ length: 20 }, () => new Promise((done) => {
              try { spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }).on('spawn', () => { made += 1; done(); }).on('error', (error) => { refused = error.code; done(); }); }
              catch (error) { refused = error.code; done(); }
            })));
            told(made > 0, refused || made)""",
        removed=frozenset({Protection.SECCOMP, Protection.THREADS_LIMIT, Protection.CGROUP}),
        proven=frozenset(),
        why="The runtime refuses it first, for the author's sake; native code makes processes above.",
        alone=True,
    ),
    Attempt(
        name="open more descriptors than permitted",
        code="""
            const handles = [];
            for (let handle = 0; handles.length < 3000 && (handle = sys('openat', -100, '/dev/null', 0)) >= 0;) handles.push(handle);
            for (const handle of handles) sys('close', handle);
            told(handles.length === 3000, handles.length)""",
        removed=frozenset({Protection.OPEN_FILES_LIMIT}),
        alone=True,
    ),
    Attempt(
        name="open more sockets than permitted",
        code="""
            const handles = [];
            for (let handle = 0; handles.length < 3000 && (handle = sys('socket', 2, 1, 0)) >= 0;) handles.push(handle);
            for (const handle of handles) sys('close', handle);
            told(handles.length === 3000, handles.length)""",
        removed=frozenset({Protection.OPEN_FILES_LIMIT}),
        alone=True,
    ),
    Attempt(
        name="fill the disk",
        code="""
            const fs = require('fs'), folder = fs.mkdtempSync(require('os').tmpdir() + '/fill'), piece = Buffer.alloc(1 << 20);
            let had = 0, refused = '';
            try { for (; had < 40; had += 1) fs.writeFileSync(`${folder}/${had}`, piece); } catch (error) { refused = error.code; }
            fs.rmSync(folder, { recursive: true });
            told(had === 40, refused || had)""",
        removed=frozenset({Protection.SCRATCH_SIZE}),
        proven=NAMESPACES,
        why="In gate mode there is no folder to write to.",
    ),
    Attempt(
        name="fill the disk with one file",
        code="""
            const fs = require('fs'), name = require('os').tmpdir() + '/big' + process.hrtime.bigint();
            let words = 'written';
            try { fs.writeFileSync(name, 'x'); const handle = fs.openSync(name, 'r+'); fs.writeSync(handle, Buffer.from('x'), 0, 1, 40 << 20); fs.closeSync(handle); } catch (error) { words = error.code; }
            fs.rmSync(name, { force: true });
            told(words === 'written', words)""",
        removed=frozenset({Protection.SCRATCH_SIZE, Protection.FILE_SIZE_LIMIT}),
        proven=NAMESPACES,
        why="In gate mode there is no folder to write to.",
        alone=True,
    ),
    Attempt(
        name="fill the disk's list of files",
        code="""
            const fs = require('fs'), folder = fs.mkdtempSync(require('os').tmpdir() + '/many');
            let had = 0, refused = '';
            try { for (; had < 6000; had += 1) fs.closeSync(fs.openSync(`${folder}/${had}`, 'w')); } catch (error) { refused = error.code; }
            fs.rmSync(folder, { recursive: true });
            told(had === 6000, refused || had)""",
        removed=frozenset({Protection.SCRATCH_SIZE}),
        proven=NAMESPACES,
        why="In gate mode there is no folder to write to.",
        alone=True,
    ),
    Attempt(
        name="block the event loop for ever",
        code="for (;;) {}",
        removed=frozenset(),
        proven=frozenset(),
        why="A time limit is what a run is, and cannot be taken away.",
        alone=True,
        wall_seconds=0.5,
    ),
    Attempt(
        name="never leave native code",
        code="native.spin()",
        removed=frozenset(),
        proven=frozenset(),
        why="A time limit is what a run is, and cannot be taken away.",
        alone=True,
        wall_seconds=0.5,
    ),
    Attempt(
        name="send itself a storm of signals",
        code="""
            let seen = 0;
            process.on('SIGUSR2', () => { seen += 1; });
            for (let i = 0; i < 20000; i += 1) sys('kill', process.pid, 12);
            await later(20);
            told(false, seen > 0 ? 'survived' : 'none seen')""",
        removed=frozenset(),
        proven=frozenset(),
        why="A process may signal itself; what is shown is that it harms nobody else.",
        alone=True,
    ),
    Attempt(
        name="end itself by a signal that dumps its memory",
        code="sys('kill', process.pid, 11); await later(500); told(false, 'lives')",
        removed=frozenset(),
        proven=frozenset(),
        why="It may end itself; there is no core dump.",
        alone=True,
    ),
    Attempt(
        name="stop itself, so that it never answers again",
        code="sys('kill', process.pid, 19); await later(100); for (;;) {}",
        removed=frozenset(),
        proven=frozenset(),
        why="A time limit is what a run is, and cannot be taken away.",
        alone=True,
        wall_seconds=0.5,
    ),
    Attempt(
        name="leave a memory dump behind",
        code="""
            const limit = pointers(7, 7);
            const result = sys('prlimit64', 0, 4, 0, limit), most = limit.readBigUInt64LE(8);
            told(result !== 0 || most !== 1n, [word(result), most])""",
        removed=frozenset(),
        proven=frozenset(),
        why="What is dumped would hold secrets. At a limit of nought a dump still goes to a program (core(5)); at one it does not.",
    ),
]
