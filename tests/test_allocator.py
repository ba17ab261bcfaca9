"""Large arrays: the memory of one that is gone serves the next; how threads wait is the user's to say."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from recon.allocator import keep_large_blocks
if "keep" in sys.argv:
    assert keep_large_blocks()
for turn in range(4):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(1 << 24, 1.0, np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str) -> int:
    run = subprocess.run([sys.executable, "-c", _FAULTS, *arguments], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_memory_of_large_arrays_is_taken_from_the_system_once() -> None:
    assert faults("keep") < 0.1 * faults()


_HELD = """
import sys
import numpy as np
from recon.allocator import give_back, keep_large_blocks

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

keep_large_blocks()
large = np.full(1 << 26, 1.0, np.float32)
del large
before = held()
give_back()
print(before - held())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_kept_memory_can_be_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", _HELD], capture_output=True, text=True, check=True)
    assert int(run.stdout) > 200 << 20


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_wait_as_the_user_says(given: dict[str, str], found: str) -> None:
    own = {name: text for name, text in os.environ.items() if name not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}
    code = "import os, recon; print(os.environ.get('GOMP_SPINCOUNT'))"
    run = subprocess.run([sys.executable, "-c", code], env=own | given, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == found
