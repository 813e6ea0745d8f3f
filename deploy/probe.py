"""Exit code 0 if the gateway of this machine answers /healthz: a HEALTHCHECK that need not import the gateway.

`probe.py [HOST:PORT]`, the address of `admin.bind` (default 127.0.0.1:9090).
"""

import socket
import sys


def is_alive(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).split(b" ", 2)[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9090"
    name, _, number = address.rpartition(":")
    sys.exit(0 if is_alive(name.strip("[]"), int(number)) else 1)
