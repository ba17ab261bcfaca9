"""From a photograph to a textured head.

This room finds assets, reads test sets and photographs, fits a face model, infers a complete albedo map with one of
the methods, renders it, and keeps what was made in a run folder. It knows nothing of the rooms that judge its work.
"""

__version__ = "0.1.0"
