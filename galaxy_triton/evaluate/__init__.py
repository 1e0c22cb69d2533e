"""How good answers are: scores, calibration, comparison, report."""
