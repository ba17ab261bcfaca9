"""Networks whose features metrics compare: weights that were really loaded, trunks with taps, and what they look at.

``weights`` reads and checks weight files, ``trunks`` puts them into the published architectures, ``window`` cuts and
fills pictures so that nothing outside a region is seen, ``features`` holds the features of a region layer by layer.
"""
