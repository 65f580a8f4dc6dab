// An HTTP reverse proxy of a server, a request and two pipelines.
const http = require('node:http');
const { pipeline } = require('node:stream');
const [listen, backend] = require('./addresses.js');

http.createServer((asked, answer) => {
    const { method, url: path, headers } = asked;
    const request = http.request({ ...backend, method, path, headers }, response => {
        answer.writeHead(response.statusCode, response.headers);
        pipeline(response, answer, () => {});
    });
    request.on('error', () => answer.headersSent ? answer.destroy() : answer.writeHead(502).end());
    pipeline(asked, request, () => {});
}).listen(listen);
