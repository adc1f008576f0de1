// Loaded into npm before npm itself: when the program that started npm is gone, even by SIGKILL, its end of our
// standard input closes, and npm must not go on writing. `unref` lets npm end by itself when its work is done.
'use strict';
process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL'));
process.stdin.on('error', () => process.kill(process.pid, 'SIGKILL'));
process.stdin.resume();
process.stdin.unref();
