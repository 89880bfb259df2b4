"""What is done to a Keras model and its weights."""
