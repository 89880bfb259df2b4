"""Changes to a Keras model and its weights: freezing, warm start, averages, export."""
