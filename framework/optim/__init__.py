"""Optimizers, gradient accumulation and learning rate schedules."""
