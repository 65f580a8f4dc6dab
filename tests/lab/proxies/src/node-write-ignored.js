// A TCP proxy that never looks at what write() returns: false means that the buffer is full.
const net = require('node:net');
const [listen, backend] = require('./addresses.js');

net.createServer(client => {
    const server = net.connect(backend);
    for (const [from, to] of [[client, server], [server, client]]) {
        from.on('data', block => to.write(block));
        from.on('end', () => to.end());
        from.on('error', () => to.destroy());
    }
}).listen(listen);
