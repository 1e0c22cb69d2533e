"""What a run is asked to be: fields with ranges and units, recipes, TOML. No torch."""
