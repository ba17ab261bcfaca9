"""A study rehearsed: model raters of known abilities and biases go through the real web server, from consent to code.

``population`` says what is put in, ``raters`` draws answers from it, ``visits`` speaks to the server as a browser does,
``hosting`` runs the server as a process of its own, ``recovery`` sets what analysis finds beside what was put in. A
rehearsal has a name of its own in the database and is marked there as simulated; a study of people never can be.
"""
