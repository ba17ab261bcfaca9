"""From a photograph to a textured head.

This room finds assets, reads test sets and photographs, fits a face model, infers a complete albedo map with one of
the methods, renders it, and keeps what was made in a run folder. It knows nothing of the rooms that judge its work.
"""

import os

# Threads of PyTorch wait for each other hundreds of times a second. By default they spin for a millisecond and more,
# and whatever else has one of the processors then makes a synthesis up to ten times as slow; asleep at once, they are
# half again as slow on an idle machine. Some ten microseconds are the middle. OpenMP reads this when it is loaded: it
# is said before anything here can load it, and what the user says goes first.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

__version__ = "0.1.0"
