"""What a process and its folder stand on: files, locks, checkpoints, logs, the console, signals, devices."""
