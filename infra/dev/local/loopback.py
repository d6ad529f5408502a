"""Binds the port of a local server."""

import socket


def bind() -> socket.socket:
    """Binds a free loopback port, and prints it as `listening 127.0.0.1:PORT`.

    The server keeps this socket: a port that its parent selects and closes again can be taken before the server binds it.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    print(f"listening 127.0.0.1:{bound.getsockname()[1]}", flush=True)
    return bound
