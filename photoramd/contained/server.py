"""Fork workers: a process that has imported what they need, and reads nothing of others'.

    python -P -m photoramd.contained.server DESCRIPTOR

`process` starts it and talks to it over the connection of that descriptor. A worker begins in a
hundredth of the time that a new interpreter takes, and shares its memory.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback

from photoramd.contained import worker
from photoramd.contained.frames import FORK, NUMBER, ClosedError, receive, send
from photoramd.system.memory import keep_memory


def main() -> None:
    """Fork workers until the other side ends, and wait for their ends when asked."""
    # The process that started this one decides when it ends, and also has these signals.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    keep_memory()
    gc.collect()
    gc.freeze()  # a collection in a worker would copy the pages that it shares
    while True:
        try:
            kind, body, files = receive(control)
            if kind == FORK:
                answer = _fork(control, json.loads(body), files)
            else:
                _, status = os.waitpid(NUMBER.unpack(body)[0], 0)
                answer = os.waitstatus_to_exitcode(status)
            send(control, kind, NUMBER.pack(answer))
        except ClosedError:
            return


def _fork(control: socket.socket, modules: list[str], files: list[int]) -> int:
    for name in modules:
        importlib.import_module(name)
    parent = os.getpid()
    child = os.fork()
    if child:
        for each in files:
            os.close(each)
        return child
    try:
        control.close()
        connection, errors = files
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        os.close(errors)
        worker.serve(socket.socket(fileno=connection), parent)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
