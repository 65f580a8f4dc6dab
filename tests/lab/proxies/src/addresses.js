// The two addresses on the command line, as net.connect() and listen() take them.
module.exports = process.argv.slice(2).map(address => {
    const [host, port] = address.split(':');
    return { host, port: Number(port) };
});
