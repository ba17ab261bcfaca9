"""The three bands in which detail of a texture is made, measured and kept: numbers alone, so that naming them is free.

The filters that part a map into them are those of :mod:`recon.texture.bands`.
"""

# Low-passes of the three detail bands in texels at 512²; they scale with the size of the map.
SIGMAS = (1.0, 2.0, 4.0)
REFERENCE_SIZE = 512
TRUNCATE = 3.0
