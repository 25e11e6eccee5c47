"""Keep a replica's own port on this machine.

Each replica of Ray Serve opens a port for calls by gRPC, which nobody here uses, on all addresses
of the machine, whatever address Ray was given (2.60, ray/serve/_private/replica.py). Ray has no
setting for that, so the function that opens it is replaced, in the replica's process only.
"""

from __future__ import annotations

from typing import Any


def require() -> None:
    """Let the port be opened on loopback only.

    Raises:
        RuntimeError: This version of Ray opens it in another way, which is not known to be safe.
    """
    from ray.serve._private import replica

    if not hasattr(replica, "add_port_to_grpc_server"):
        raise RuntimeError("this version of ray is not known: its port cannot be kept on loopback")
    opens = replica.add_port_to_grpc_server

    def add_port(server: Any, address: str) -> int:
        port: int = opens(server, address.replace("[::]", "127.0.0.1"))
        return port

    replica.add_port_to_grpc_server = add_port
