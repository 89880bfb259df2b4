"""The times of a run: when validation, LAV, checkpoints, averages, a profile and what TensorBoard shows are due.

Nothing here reads a clock or has a state. `epoch` and `step` are how many are done: the first epoch ends as
epoch 1, and a run begins at step 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.config.trainer_config import TrainerConfig

# A profile of an early part of the session: enough to see what a step consists of, few enough for a file that
# a browser opens.
_PROFILED_STEPS = 10
# A point of a curve over steps costs about a millisecond: so many in an epoch, and more in long ones.
_POINTS_PER_EPOCH = 10
_MOST_STEPS_PER_POINT = 128


def is_nth(done: int, every: int | None) -> bool:
    """Return whether something is due that is due after each n-th epoch or step.

    Args:
        done: how many epochs or steps are done, >= 1.
        every: n; 0 and None: never.
    """
    return bool(every and done % every == 0)


@dataclass(frozen=True)
class Due:
    """The answer to each "is it due?" of a run.

    Args:
        settings: how often.
        steps_per_epoch: steps that make an epoch, >= 1.
    """

    settings: TrainerConfig
    steps_per_epoch: int

    # At the end of an epoch -------------------------------------------------------------------------------

    def is_last(self, epoch: int, stopped: str | None = None) -> bool:
        """Return whether the run ends with an epoch.

        Args:
            stopped: why the run ends before its last epoch; None where it does not.
        """
        return bool(stopped) or epoch >= self.settings.epochs

    def validation(self, epoch: int, *, last: bool = False) -> bool:
        """Return whether an epoch is validated: each n-th one, and the last."""
        every = self.settings.val_every_n
        return is_nth(epoch, every) or (last and every > 0)

    def raw_validation(self, epoch: int, *, last: bool = False) -> bool:
        """Return whether the raw weights of a run with averaged ones are validated, too: after each n-th epoch
        that is validated, and after the last."""
        return last or is_nth(epoch, self.settings.val_raw_every_n)

    def lav(self, epoch: int, *, last: bool = False) -> bool:
        """Return whether LAV comes after an epoch: each n-th one, the first and the last."""
        every = self.settings.lav_every_n
        return is_nth(epoch, every) or ((last or epoch == 1) and every > 0)

    def averages(self, epoch: int) -> bool:
        """Return whether the averages for `ema-weights` are saved after an epoch: each n-th one."""
        return bool(self.settings.post_hoc_ema) and is_nth(epoch, self.settings.post_hoc_every_n_epochs)

    def checkpoint_of_epoch(self, epoch: int, *, last: bool = False) -> bool:
        """Return whether a checkpoint is saved after an epoch: each n-th one, and the last."""
        return last or is_nth(epoch, self.settings.checkpoint_every_n_epochs)

    def histograms(self, epoch: int) -> bool:
        """Return whether TensorBoard gets histograms after an epoch: each n-th one."""
        return self.settings.tensorboard and is_nth(epoch, self.settings.histograms_every_n)

    def samples(self, epoch: int) -> bool:
        """Return whether TensorBoard gets predictions of some samples after an epoch: each n-th one."""
        return self.settings.tensorboard and is_nth(epoch, self.settings.samples_every_n)

    def figures(self, epoch: int) -> bool:
        """Return whether TensorBoard gets figures of all validation samples after an epoch: each n-th one."""
        return self.settings.tensorboard and is_nth(epoch, self.settings.figures_every_n)

    # Within an epoch --------------------------------------------------------------------------------------

    def end_of_epoch(self, epoch: int) -> int:
        """Return the step with which the epoch after `epoch` epochs ends.

        A run that was interrupted in its validation is there already.
        """
        return (epoch + 1) * self.steps_per_epoch

    def is_end_of_epoch(self, step: int) -> bool:
        """Return whether an epoch ends with a step."""
        return step % self.steps_per_epoch == 0

    def checkpoint(self, step: int, *, minutes: float) -> bool:
        """Return whether a checkpoint is saved in the middle of an epoch: after each n-th step, and where the
        newest is old.

        Args:
            minutes: time since the newest was saved.
        """
        limit = self.settings.checkpoint_every_n_minutes
        if self.is_end_of_epoch(step):
            return False
        return is_nth(step, self.settings.checkpoint_every_n_steps) or (
            limit is not None and minutes >= limit
        )

    def scalars(self, step: int) -> bool:
        """Return whether TensorBoard gets loss and metrics of the steps up to a step: each n-th one."""
        return is_nth(step, self.steps_per_point)

    @property
    def steps_per_point(self) -> int:
        """The steps between two points of a curve in TensorBoard; 0 without such curves."""
        if not self.settings.tensorboard:
            return 0
        if (every := self.settings.scalars_every_n_steps) is not None:
            return every
        return max(1, min(self.steps_per_epoch // _POINTS_PER_EPOCH, _MOST_STEPS_PER_POINT))

    def next_edge(self, step: int) -> int:
        """Return the step up to which steps may be done in one call of the loop. Something may be due
        there."""
        edges = [self.end_of_epoch(step // self.steps_per_epoch), *self._profile_edges()]
        for every in (self.settings.checkpoint_every_n_steps, self.steps_per_point):
            if every:
                edges.append((step // every + 1) * every)
        return min(edge for edge in edges if edge > step)

    def begins_profile(self, step: int, *, calls: int) -> bool:
        """Return whether a profile begins after a step, where none is going on.

        Chosen steps are profiled wherever the session begins. Otherwise a profile leaves out the first call
        of the loop, which compiles.

        Args:
            calls: how often the loop was called in this session.
        """
        if edges := self._profile_edges():
            return edges[0] <= step < edges[1]
        return self.settings.profile and calls > 0

    def ends_profile(self, step: int, *, begun: int) -> bool:
        """Return whether a profile ends with a step: the last chosen one; otherwise the tenth, or the last of
        the epoch.

        Args:
            begun: the step that it was begun after.
        """
        if edges := self._profile_edges():
            return step >= edges[1]
        return step - begun >= _PROFILED_STEPS or self.is_end_of_epoch(step)

    def _profile_edges(self) -> tuple[int, ...]:
        """Return the steps after which the chosen steps begin and end; nothing where none are chosen."""
        chosen = self.settings.profile_steps
        return (chosen[0] - 1, chosen[1]) if chosen else ()
