"""What is done with a trained run, and with data before training."""
