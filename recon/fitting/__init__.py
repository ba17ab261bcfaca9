"""Fitting: from a photograph to pose, face shape, expression, camera and light, with a verdict on how well it went."""

from recon.fitting.camera import Camera
from recon.fitting.fit import AlbedoModel, Fit, fit_face
from recon.fitting.landmarks import Landmarks, detect_landmarks
from recon.fitting.lighting import SphericalHarmonicsLighting

__all__ = ["AlbedoModel", "Camera", "Fit", "Landmarks", "SphericalHarmonicsLighting", "detect_landmarks", "fit_face"]
