// The npm package http-proxy in front of one web server.
const proxy = require('http-proxy');
const [listen, backend] = process.argv.slice(2);
const [host, port] = listen.split(':');

// Without a handler of errors it ends when a backend refuses.
proxy.createProxyServer({ target: `http://${backend}` })
    .on('error', (error, request, response) => response.headersSent ? response.destroy() : response.writeHead(502).end())
    .listen(Number(port), host);
