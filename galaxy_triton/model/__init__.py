"""Bytes become views, logits, a loss and probabilities; and by which backend."""
