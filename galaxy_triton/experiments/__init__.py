"""Many trainings compared, or one looked into: sweep, ablation, profile."""
