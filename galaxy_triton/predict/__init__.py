"""A checkpoint answers images: a table, or a program."""
