"""What the pages Studies, Ratings and Agreement stand on: study folders, background work, and servers of raters.

Numbers come from the room ``study``; here they are looked up, kept while nothing changed, and drawn.
"""
