"""The sockets that a server listens on: its own, or those that systemd hands over."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from photoramd.config.addresses import UNIX, address_of
from photoramd.errors import ConfigError, PhotoramdError, printable
from photoramd.net.listener import Listener

SOCKET_MODE = 0o660

_FIRST_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""

_BACKLOG = 128


class ListenError(PhotoramdError):
    """A server cannot wait for clients where it is to."""


@contextmanager
def listening(listen: str, key: str) -> Iterator[list[socket.socket]]:
    """Open the sockets, each with a limit of clients, for a ``with`` block.

    Args:
        listen: Where to listen, as in the configuration; what systemd hands over goes first.
        key: The key in the configuration, for errors.

    Raises:
        ListenError: It cannot be listened there.
        ConfigError: ``listen`` is malformed.
    """
    given = _given_by_systemd()
    if given:
        try:
            yield given
        finally:
            for each in given:
                each.close()
        return
    try:
        where = address_of(listen)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error
    with _beneath(where) if isinstance(where, Path) else closing(_at(*where)) as found:
        yield [found]


def is_for_others(sockets: Sequence[socket.socket]) -> bool:
    """Return whether other machines can reach any of these sockets."""
    return not all(
        each.family == socket.AF_UNIX or ipaddress.ip_address(each.getsockname()[0]).is_loopback
        for each in sockets
    )


def addresses(sockets: Sequence[socket.socket], base_path: str, scheme: str = "http") -> list[str]:
    """Return what clients ask for, or for a socket's file its path."""
    found = []
    for each in sockets:
        name = each.getsockname()
        if each.family == socket.AF_UNIX:
            found.append(UNIX + printable(name))
            continue
        address = ipaddress.ip_address(name[0])
        host = socket.gethostname() if address.is_unspecified else str(address)
        host = f"[{host}]" if ":" in host else host
        found.append(f"{scheme}://{host}:{name[1]}{base_path}/")
    return found


def _given_by_systemd() -> list[socket.socket]:
    """Return the listening sockets that this process was started with (sd_listen_fds(3))."""
    count, process = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdigit():
        return []
    found: list[socket.socket] = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        try:
            os.set_inheritable(fd, False)
            each = Listener(fileno=fd)
            waits = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise ListenError(f"systemd handed over what is no socket: {error.strerror}") from error
        if not waits or each.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
            raise ListenError(
                "systemd handed over a socket that cannot be used",
                remedy="the unit of the socket needs ListenStream and Accept=no",
            )
        each.setblocking(False)
        found.append(each)
    return found


def _at(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = Listener(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" is for IPv4, too, whatever the system's default.
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind((host, port))
        found.listen(_BACKLOG)
        found.setblocking(False)
    except OSError as error:
        found.close()
        raise _error(f"{host}, port {port}", error) from error
    return found


@contextmanager
def _beneath(path: Path) -> Iterator[socket.socket]:
    """Listen on a socket's file, which is removed in the end."""
    _remove_stale(path)
    found = Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The umask is this thread's and all others'; there are none yet.
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            found.bind(os.fspath(path))
            created = os.lstat(path)
        finally:
            os.umask(before)
        found.listen(_BACKLOG)
        found.setblocking(False)
    except OSError as error:
        found.close()
        raise _error(printable(path), error) from error
    try:
        yield found
    finally:
        found.close()
        with suppress(OSError):
            if os.path.samestat(os.lstat(path), created):
                path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove the file of a socket that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ListenError("there is a file that is no socket", path=path)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        with suppress(FileNotFoundError):
            path.unlink()
        return
    except OSError as error:
        raise _error(printable(path), error) from error
    raise ListenError("another process listens there", path=path, remedy="stop it first")


def _error(where: str, error: OSError) -> ListenError:
    remedies = {
        errno.EADDRINUSE: "another process listens there: stop it, or choose another port",
        errno.EACCES: "choose a port above 1023, or a directory that this user may write to",
        errno.ENOENT: "make the directory first",
        errno.EADDRNOTAVAIL: "give an address of this machine, such as 127.0.0.1",
    }
    return ListenError(
        f"cannot listen on {where}: {error.strerror}", remedy=remedies.get(error.errno or 0)
    )
