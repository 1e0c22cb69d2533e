"""A simulated sky whose answers are known."""
