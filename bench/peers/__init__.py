"""One file for each library that makes such views, written as its users would who want its best speed.

Imported without them: a library is loaded when its row is built.
"""
