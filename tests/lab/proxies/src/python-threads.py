"""A TCP proxy with a thread for each direction, and sockets that block: recv() and sendall()."""

import socket
import sys
import threading

listen, backend = ((host, int(port)) for host, port in (each.split(":") for each in sys.argv[1:]))


def pass_on(source, target):
    try:
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    with client, socket.create_connection(backend) as server:
        upload = threading.Thread(target=pass_on, args=(client, server))
        upload.start()
        pass_on(server, client)
        upload.join()


for client, _ in iter(socket.create_server(listen).accept, None):
    threading.Thread(target=serve, args=(client,)).start()
