"""The three bands in which detail of a texture is made, measured and kept: numbers alone, so that naming them is free.

The filters that part a map into them are those of :mod:`recon.texture.bands`.
"""

# Low-passes of the three detail bands in texels at 512²; they scale with the size of the map.
SIGMAS = (1.0, 2.0, 4.0)
REFERENCE_SIZE = 512
TRUNCATE = 3.0


def band_sigmas(size: int) -> tuple[float, ...]:
    """The three low-passes in texels of a map of side ``size``: :data:`SIGMAS` at 512², in proportion elsewhere."""
    return tuple(sigma * size / REFERENCE_SIZE for sigma in SIGMAS)
