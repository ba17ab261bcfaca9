"""Captures: people measured in a light stage, and the synthetic stage that measures made-up ones.

A raw sequence of images under spherical gradient light becomes albedo and normals per camera
(:mod:`recon.capture.sequence`); :mod:`recon.capture.stage` renders such sequences of heads of which all is known.
"""
