"""Train, validate and predict from Python: LeNet-5 on the handwritten digits that scikit-learn ships, in
about ten seconds.

    python examples/train_digits.py [RUN_DIRECTORY]

Typed again with the same folder, it continues the run for two more epochs.
"""

import sys
from pathlib import Path

from framework import RunDirectory, Trainer, compose, load_and_validate


def main(folder: Path) -> None:
    if (folder / "config.yaml").exists():
        done = Trainer.resume(folder).ended()
        result = Trainer.resume(folder, f"epochs={(done.epochs if done else 0) + 2}").train()
    else:
        scenario = compose("scenario=lenet", "data=digits", "optimizer=adam", "lr=2e-3", "epochs=8")
        result = Trainer(scenario, RunDirectory.create(folder)).train()
    print(f"{result.status} after {result.epochs} epochs")
    if result.best:
        print(f"the best was epoch {result.best['epoch']}")

    report = load_and_validate(folder)
    for name, value in report.metrics.items():
        if "/" not in name:
            print(f"  {name}: {value:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/train_digits"))
