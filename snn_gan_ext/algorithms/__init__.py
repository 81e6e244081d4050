"""The training loop, checkpoints, and one learning algorithm a file."""
