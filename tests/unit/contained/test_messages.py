"""What workers answer, in many threads at once."""

from __future__ import annotations

import subprocess
import sys

FIRST_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from photoramd.contained import messages
from photoramd.metadata.reading import Reading
barrier, answers = threading.Barrier(16), []

def work():
    barrier.wait()
    answers.append(messages.decode(bytes([0x92, 0x90, 0x80]), tuple[tuple[str, ...], Reading]))

threads = [threading.Thread(target=work) for _ in range(16)]
for each in threads:
    each.start()
for each in threads:
    each.join()
sys.exit(answers != 16 * [((), Reading())])
"""
"""What the threads of a daemon do with the first photos."""

TIMES = 12


def test_the_first_answers_may_come_all_at_once() -> None:
    for _ in range(TIMES):
        done = subprocess.run([sys.executable, "-c", FIRST_AT_ONCE], check=False)
        assert done.returncode == 0
