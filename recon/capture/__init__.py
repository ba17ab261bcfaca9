"""Captures: people measured in a light stage, and the synthetic stage that measures made-up ones.

A raw sequence of images under spherical gradient light becomes albedo and normals per camera
(:mod:`recon.capture.sequence`); :mod:`recon.capture.stage` renders such sequences of heads of which all is known.

A face model is brought onto a finished scan or a sequence's mesh (:mod:`recon.capture.registration`), maps are carried
into the model's UV square (:mod:`recon.capture.transfer`), and what comes out is kept as ground truth
(:mod:`recon.capture.captured_truth`).
"""
