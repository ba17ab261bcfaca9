"""Data sets of faces made here, and handing heads on: what leaves this machine, with its licence and provenance.

:func:`~recon.release.build.build_release` turns a folder of standardised photographs into a data set of 3-D face models
with texture maps; :func:`~recon.release.handover.hand_over` writes heads of a run or of such a data set in the formats
of studios.
"""
