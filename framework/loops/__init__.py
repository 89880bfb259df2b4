"""What does the training steps."""
