"""A TCP proxy with asyncio streams that never waits until there is room: no drain() after a write."""

import asyncio
import sys

listen, backend = (address.split(":") for address in sys.argv[1:])


async def pass_on(reader, writer):
    try:
        while block := await reader.read(65536):
            writer.write(block)
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def serve(client_reader, client_writer):
    try:
        backend_reader, backend_writer = await asyncio.open_connection(*backend)
    except OSError:
        return client_writer.close()
    await asyncio.gather(
        pass_on(client_reader, backend_writer),
        pass_on(backend_reader, client_writer),
    )
    client_writer.close()
    backend_writer.close()


async def main():
    await (await asyncio.start_server(serve, *listen)).serve_forever()


asyncio.run(main())
