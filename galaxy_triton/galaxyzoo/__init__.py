"""What the columns mean: questions, tree, names, ids, tables. No torch."""
