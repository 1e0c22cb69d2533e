"""The training loop, and a run from its options to its report."""
