"""Exit code 0 if the gateway of this machine answers /healthz: a HEALTHCHECK that need not import the gateway.

`probe.py [HOST:PORT]...`: the first address at which anybody answers decides. Without one those of `admin.probe` and
`admin.bind` as the documentation has them.
"""

import socket
import sys

USUAL = ("127.0.0.1:9091", "127.0.0.1:9090")


def health(address: str) -> bool | None:
    """Whether whoever is there says that he is well; None if nobody is."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).split(b" ", 2)[1:2] == [b"200"]
    except ConnectionRefusedError:
        return None
    except OSError:
        return False


if __name__ == "__main__":
    answers = (health(address) for address in sys.argv[1:] or USUAL)
    sys.exit(0 if next((answer for answer in answers if answer is not None), False) else 1)
