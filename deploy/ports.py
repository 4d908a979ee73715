"""TCP ports: whether one can be used, and free ones."""

import errno
import socket

from broker.errors import BadConfig


def check(host: str, port: int, option: str) -> None:
    """Raise BadConfig, naming `option`, if nothing can listen on `port` of `host`; 0 is any free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            raise BadConfig(f"this user may not listen on port {port}: choose another with {option}") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"port {port} is taken: stop what uses it, or choose another with {option}"
            else:
                text = f"cannot listen on {host} ({error.strerror}): choose another --host"
            raise BadConfig(text) from None


def free(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing uses now, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
