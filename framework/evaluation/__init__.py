"""Evaluation and prediction with a trained run, comparison of runs, and checks of data before training."""
