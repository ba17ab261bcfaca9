"""Reconstruction methods, one file each, behind one contract: a photograph and a context in, a textured head out.

``METHODS`` is the registry; an outside package adds a method under the entry-point group ``mesoface.methods``.
"""

from recon.methods.contract import Context, Method, Reconstruction
from recon.registry import Registry

METHODS: Registry[type[Method]] = Registry(
    "method",
    "mesoface.methods",
    {
        "meso": "recon.methods.meso:Meso",
        "deep": "recon.methods.deep:Deep",
        "deep-linear": "recon.methods.deep:DeepLinear",
        "deep-nearest": "recon.methods.deep:DeepNearest",
        "visio": "recon.methods.visio:Visio",
        "pca": "recon.methods.pca:Pca",
        "mirror": "recon.methods.mirror:Mirror",
        "lightstage": "recon.methods.lightstage:LightStage",
        "external": "recon.methods.external:External",
    },
)

__all__ = ["METHODS", "Context", "Method", "Reconstruction"]
