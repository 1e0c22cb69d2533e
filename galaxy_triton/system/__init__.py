"""What any careful program needs: errors, whole files, locks, console, signals, processes. It knows no galaxy."""
