"""Pure functions from learning signals to parameter updates."""
