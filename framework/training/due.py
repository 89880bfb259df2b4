"""When what is due in a run: validation, LAV, checkpoints, averages, a profile.

Nothing here reads a clock or holds a state. Epochs and steps are numbers of those that are done: the first epoch
ends as epoch 1, and a run begins at step 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.config.trainer_config import TrainerConfig

# A profile of an early part of the session: enough to see what a step consists of, few enough for a file that
# a browser opens.
_PROFILED_STEPS = 10


def is_nth(done: int, every: int | None) -> bool:
    """Whether `done` is an n-th one.

    Args:
        done: how many epochs or steps are done, >= 1.
        every: n; 0 and None are never.
    """
    return bool(every and done % every == 0)


@dataclass(frozen=True)
class Due:
    """Every "when" of a run.

    Args:
        settings: how often.
        steps_per_epoch: steps that make an epoch, >= 1.
    """

    settings: TrainerConfig
    steps_per_epoch: int

    # At the end of an epoch -------------------------------------------------------------------------------------

    def is_last(self, epoch: int, stopped: str | None = None) -> bool:
        """Whether the run ends with an epoch.

        Args:
            stopped: why something ends the run before its last epoch; None where nothing does.
        """
        return bool(stopped) or epoch >= self.settings.epochs

    def validation(self, epoch: int, *, last: bool = False) -> bool:
        """Validate after each n-th epoch, and after the last."""
        every = self.settings.val_every_n
        return is_nth(epoch, every) or (last and every > 0)

    def lav(self, epoch: int, *, last: bool = False) -> bool:
        """Load and validate after each n-th epoch, the first and the last."""
        every = self.settings.lav_every_n
        return is_nth(epoch, every) or ((last or epoch == 1) and every > 0)

    def averages(self, epoch: int) -> bool:
        """Save what averages of other lengths are made of after each n-th epoch, where any are kept."""
        return bool(self.settings.post_hoc_ema) and is_nth(epoch, self.settings.post_hoc_every_n_epochs)

    def checkpoint_of_epoch(self, epoch: int, *, last: bool = False) -> bool:
        """Save a checkpoint after each n-th epoch, and after the last."""
        return last or is_nth(epoch, self.settings.checkpoint_every_n_epochs)

    # Within an epoch --------------------------------------------------------------------------------------------

    def end_of_epoch(self, epoch: int) -> int:
        """The step with which the epoch ends that comes after `epoch` epochs. A run that was interrupted while it
        was validated is there already."""
        return (epoch + 1) * self.steps_per_epoch

    def is_end_of_epoch(self, step: int) -> bool:
        """Whether an epoch ends with a step."""
        return step % self.steps_per_epoch == 0

    def checkpoint(self, step: int, *, minutes: float) -> bool:
        """Save a checkpoint in the middle of an epoch: after each n-th step, and where the newest is old.

        Args:
            minutes: time since the newest was saved.
        """
        limit = self.settings.checkpoint_every_n_minutes
        if self.is_end_of_epoch(step):
            return False
        return is_nth(step, self.settings.checkpoint_every_n_steps) or (
            limit is not None and minutes >= limit
        )

    def next_edge(self, step: int) -> int:
        """The step up to which steps may be done in one call of the loop: there something is due, or may be."""
        edges = [self.end_of_epoch(step // self.steps_per_epoch), *self._profile_edges()]
        if every := self.settings.checkpoint_every_n_steps:
            edges.append((step // every + 1) * every)
        return min(edge for edge in edges if edge > step)

    def begins_profile(self, step: int, *, calls: int) -> bool:
        """Whether a profile takes in what comes after a step.

        Chosen steps are profiled wherever the session begins. Otherwise a profile leaves out the first call of the
        loop, which compiles.

        Args:
            calls: of the loop, in this session.
        """
        if edges := self._profile_edges():
            return edges[0] <= step < edges[1]
        return self.settings.profile and calls > 0

    def ends_profile(self, step: int, *, begun: int) -> bool:
        """Whether a profile ends with a step: with the last chosen one; otherwise after ten steps, or with the
        epoch.

        Args:
            begun: the step that it was begun after.
        """
        if edges := self._profile_edges():
            return step >= edges[1]
        return step - begun >= _PROFILED_STEPS or self.is_end_of_epoch(step)

    def _profile_edges(self) -> tuple[int, ...]:
        """The steps after which the chosen steps begin and end; empty where none are chosen."""
        chosen = self.settings.profile_steps
        return (chosen[0] - 1, chosen[1]) if chosen else ()
