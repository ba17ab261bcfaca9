"""The viewer of pictures: the matrix of subjects × methods, and some methods of one subject beside the photograph.

Python says what is shown (``orders``, ``matrix``, ``beside``, ``verdicts``); one component (``component``, with the
scripts and the style in this folder) draws it and answers to mouse, touch and keyboard.
"""
