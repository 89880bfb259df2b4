"""Groups of samples that belong together, such as the frames of a video or the pictures of a person.

Samples of one group are alike. A model that was trained on some of them has an easy time with the others, so a group
belongs to training or to validation, and never to both.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from framework.data.source import Fault, Source, Split
from framework.errors import ConfigError, DataError, Problem, listing

_NAMED = 5  # classes that are named in a line of the log

_log = logging.getLogger("framework")


def check_pattern(path: str, pattern: str | None) -> Iterator[Problem]:
    """Yield the problem of a pattern that is not a regular expression.

    Args:
        path: the setting.
        pattern: its value.
    """
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        yield Problem(
            path,
            f"must be a regular expression: {error}",
            given=pattern,
            allowed="one that Python's re.search takes, such as '(video[0-9]+)'",
        )


def group_of(pattern: str, path: str) -> str | None:
    """Return the group that a pattern finds in a path, or None if it matches nowhere.

    It is the first group of the pattern that takes part in the match, or else the whole match.

    >>> group_of("(id[0-9]+)_", "fake/id7_id3_0001.png")
    'id7'
    """
    match = re.search(pattern, path)
    if match is None:
        return None
    return next((part for part in match.groups() if part is not None), match[0])


def find_groups(pattern: str, paths: Sequence[str], where: str) -> list[str]:
    """Return the group of each path.

    Args:
        pattern: a regular expression; see `group_of`.
        paths: with `/`.
        where: the setting of the pattern, for the message.

    Raises:
        DataError: naming the first paths that the pattern does not match.
    """
    found = [group_of(pattern, path) for path in paths]
    missed = [path for path, group in zip(paths, found, strict=True) if group is None]
    if missed:
        matched = f"matches {len(found) - len(missed):,} of {len(found):,} paths"
        raise DataError(
            f"{where}: {pattern!r} {matched}, and each needs a group; it does not match:{listing(missed, 5)}",
            hint=f"it is searched for in the path below the folder of the data, or as a list has it; {where}=null "
            "turns groups off",
        )
    return [group for group in found if group is not None]


def held_out_groups(
    groups: Sequence[str], labels: Sequence[str], part: float, seed: int, *, log: bool = False
) -> set[str]:
    """Choose the groups that are kept for validation.

    Of each class they have the fraction `part` of the samples, as nearly as whole groups allow. The groups are
    taken in a random order, each if it brings the fractions nearer. Each class keeps a group for training.

    Args:
        groups: the group of each sample.
        labels: the class of each sample.
        part: in (0, 1).
        seed: of the order. The same seed gives the same groups.
        log: whether to log how many samples of each class are kept.

    Raises:
        ConfigError: at `data.group_by`, if all samples of a class are of one group.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for group, label in zip(groups, labels, strict=True):
        counts[group][label] += 1
    _refuse_single_groups(counts)
    total, kept, chosen = Counter(labels), Counter[str](), set[str]()

    def cost(group: str) -> float:
        """How much farther the squared distances of the fractions from `part` are with the group."""
        return sum(
            ((kept[label] + count) / total[label] - part) ** 2 - (kept[label] / total[label] - part) ** 2
            for label, count in counts[group].items()
        )

    def is_free(group: str) -> bool:
        """Whether each class has samples for training without the group, too."""
        return group not in chosen and all(
            kept[label] + count < total[label] for label, count in counts[group].items()
        )

    def take(group: str) -> None:
        chosen.add(group)
        kept.update(counts[group])

    # Ranked by a hash, as in `held_out`.
    ranked = sorted(counts, key=lambda group: hashlib.sha256(os.fsencode(f"{seed}/{group}")).digest())
    for group in ranked:
        if is_free(group) and cost(group) < 0:
            take(group)
    for label in sorted(total):
        # All groups of the class may be too large to bring it nearer.
        free = [group for group in ranked if label in counts[group] and is_free(group)]
        if not kept[label] and free:
            take(min(free, key=cost))
    if log:
        of_classes = [f"{kept[label]:,} of {total[label]:,} of {label}" for label in sorted(total)]
        more = ", ..." if len(of_classes) > _NAMED else ""
        text = ", ".join(of_classes[:_NAMED]) + more
        _log.info(
            "split by group: %d of %d groups are kept for validation, %s", len(chosen), len(counts), text
        )
        if missing := [repr(label) for label in sorted(total) if not kept[label]]:
            names = ", ".join(missing)
            _log.warning("data.group_by: no group of class %s can be kept for validation", names)
    return chosen


def _refuse_single_groups(counts: Mapping[str, Counter[str]]) -> None:
    of_class: dict[str, list[str]] = defaultdict(list)
    for group, labels in counts.items():
        for label in labels:
            of_class[label].append(group)
    problems = [
        Problem(
            "data.group_by",
            f"gives all images of class {label!r} to the group {groups[0]!r}, which cannot be in both training "
            "and validation",
            hint="tell more groups apart, add images, or set the validation data",
        )
        for label, groups in sorted(of_class.items())
        if len(groups) == 1
    ]
    if problems:
        raise ConfigError(problems)


def shared_groups(sources: Mapping[Split, Source]) -> dict[Split, list[Fault]]:
    """Find samples of which the group is in an earlier split, too.

    Args:
        sources: the samples of each split; sources without groups are left out.

    Returns:
        For each split the faults of its samples. Each names the first sample of its group in the earlier split.
    """
    first: dict[str, tuple[Split, str]] = {}
    found: dict[Split, list[Fault]] = {}
    for split, source in sources.items():
        named = _named(source)
        found[split] = [
            Fault(
                name,
                f"group in {first[group][0]}",
                f"is of the group {group!r}, as is {first[group][1]} of the {first[group][0]} data",
                fatal=False,
            )
            for name, group in named
            if group in first
        ]
        for name, group in named:
            first.setdefault(group, (split, name))
    return found


def warn_of_shared_groups(training: Source, validation: Source) -> bool:
    """Warn once of groups that are in both the training and the validation data.

    Returns:
        Whether there are any.
    """
    trained, validated = (Counter(group for _, group in _named(source)) for source in (training, validation))
    if shared := sorted(trained.keys() & validated.keys()):
        _log.warning(
            "%d of the %d groups of the validation data are in the training data, too, so the validation will "
            "flatter the model:%s",
            len(shared),
            len(validated),
            listing([f"{group}: {validated[group]:,} and {trained[group]:,} samples" for group in shared], 5),
        )
    return bool(shared)


def _named(source: Source) -> list[tuple[str, str]]:
    """Return the name and the group of each sample, of those that have a group."""
    groups = ((i, source.group_name(i)) for i in range(len(source)))
    return [(source.sample_name(i), group) for i, group in groups if group is not None]
