'use strict';
// The hook as a plain HTTP server: what one would write without the sandbox. POST a JSON array of arguments, get the result.
// Prints its port. Ends with its standard input. Answers after so many milliseconds as the path says: /5.

const http = require('node:http');
const vm = require('node:vm');

const made = { exports: {} };
vm.runInThisContext(`(function (module) {${process.argv[2]}\n})`)(made);
const hook = made.exports;

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const values = JSON.parse(Buffer.concat(chunks).toString());
    hook(...values, (error, result) => {
      const text = JSON.stringify(result);
      response.setHeader('content-type', 'application/json');
      response.setHeader('content-length', Buffer.byteLength(text));
      const delay = Number(request.url.slice(1));
      if (delay > 0) setTimeout(() => response.end(text), delay);
      else response.end(text);
    });
  });
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit());
