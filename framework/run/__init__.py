"""The run directory and the process of a run: files, locks, checkpoints, logs, console, signals, devices."""
