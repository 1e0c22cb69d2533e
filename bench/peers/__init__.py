"""One file for each other library or program, written as a user would write it for the best speed.

A library is imported only when its row is built.
"""
