// A TCP proxy with pipe(), which pauses one end while the other end's buffer is full.
const net = require('node:net');
const [listen, backend] = require('./addresses.js');

net.createServer(client => {
    const server = net.connect(backend);
    client.pipe(server).pipe(client);
    client.on('error', () => server.destroy());
    server.on('error', () => client.destroy());
}).listen(listen);
