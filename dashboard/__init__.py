"""Pages in a browser over everything that the other rooms made.

This room is for looking at runs side by side, comparing methods, and launching and watching studies. It may use
``study``, ``metrics`` and ``recon``, and none of them may use it; it computes nothing that they could be asked for. It
exports nothing: ``mesoface dashboard`` (``dashboard.commands``) starts it.
"""
