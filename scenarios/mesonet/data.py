"""Forged patches: a small, honest data set that is there without a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from framework import ArraySource, DataConfig, DataError, Split, setting

if TYPE_CHECKING:
    import numpy as np

CLASSES = ("forged", "real")

# Part of what the data set is: with another seed it would be another one.
_SEED = 1809_00888

# Each photograph (427 rows, 640 columns) is two rows of three square tiles. Validation has the upper one in
# the middle: something of all that the other tiles show is in it, so that it asks for no scenery that
# training lacks.
_TILE = 213
_TILES = {
    Split.TRAIN: ((0, 0), (0, 2), (1, 0), (1, 1), (1, 2)),
    Split.VALIDATION: ((0, 1),),
}


class PatchSource(ArraySource):
    """The patches of a split, in memory: images uint8 [n, size, size, 3], labels float32 [n, 1], 1 for the
    positive class."""

    classes = CLASSES


@dataclass(frozen=True, kw_only=True)
class ForgedPatches(DataConfig):
    """Patches of the two photographs that scikit-learn ships (china.jpg and flower.jpg), half of them forged.

    The photographs get the noise of a sensor. A forged patch then has an ellipse in it that was rendered at a
    quarter of the resolution, recoloured, and blended in with a soft edge, as the face-swapping networks of
    MesoNet's day forged a video frame: they lose fine detail (Afchar et al. 2018, arXiv:1809.00888, section
    1.1). What tells it apart everywhere is the noise that it lacks; blur alone would not, since the
    photographs have blurred backgrounds of their own.

    Each photograph is six tiles. Training patches lie in five of them, validation patches in the sixth, so no
    pixel of a photograph is in both. Within a tile, patches overlap. There is no test split.

    What is drawn comes from a fixed seed, not from the run's: the data set is one and the same in each run,
    and the first patches of a split do not depend on how many follow.
    """

    image_size: int = setting(128, "Height and width of a patch, in pixels.", ge=32, le=192)
    train_samples: int = setting(1200, "Patches to train on.", ge=2, le=100_000)
    validation_samples: int = setting(300, "Patches to validate on.", ge=2, le=100_000)
    noise: float = setting(8.0, "Standard deviation of the sensor noise, in pixel values of 0 to 255.", ge=0)
    positive_class: Literal["forged", "real"] = setting(
        "forged", "The class that the model's output is the probability of."
    )

    classes: ClassVar[tuple[str, ...]] = CLASSES

    def source(self, split: Split, *, seed: int) -> PatchSource:
        """The patches of a split: forged and real ones in turn.

        Args:
            split: training or validation.
            seed: not used: the patches are always the same.

        Raises:
            DataError: for the test split, which these data do not have.
        """
        if split not in _TILES:
            raise DataError(
                f"the forged patches have no {split} split",
                hint="use split=validation, or data=image_folder with images of your own",
            )
        count = self.train_samples if split is Split.TRAIN else self.validation_samples
        images, forged, names = _patches(split, count, self.image_size, self.noise)
        labels = forged if self.positive_class == "forged" else ~forged
        return PatchSource((images, labels.astype("float32")[:, None]), names)


def _patches(split: Split, count: int, size: int, noise: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The images, uint8 [count, size, size, 3]; whether each is forged, bool [count]; and what to call
    each."""
    import numpy as np
    from sklearn.datasets import load_sample_images

    files = load_sample_images()
    rng = np.random.default_rng([_SEED, list(_TILES).index(split)])
    # Less contrast than the photographs have, or their white sky and black leaves would cut the noise off.
    photographs = [
        _quantise(0.8 * image + 25 + noise * rng.standard_normal(image.shape)) for image in files.images
    ]
    images = np.empty((count, size, size, 3), np.uint8)
    forged = np.arange(count) % 2 == 0
    names = []
    for i in range(count):
        which = rng.integers(len(photographs))
        tile = rng.choice(_TILES[split])
        top, left = tile * _TILE + rng.integers(_TILE - size + 1, size=2)
        patch = photographs[which][top : top + size, left : left + size]
        images[i] = _forge(patch, rng) if forged[i] else patch
        file = files.filenames[which].replace("\\", "/").rpartition("/")[2]
        names.append(f"{CLASSES[0] if forged[i] else CLASSES[1]} patch of {file} at row {top}, column {left}")
    return images, forged, names


def _forge(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The patch, uint8 [size, size, 3], with a rendered ellipse in it. The ellipse does not touch the
    border."""
    import numpy as np
    from PIL import Image

    size = len(patch)
    radii = rng.uniform(0.3, 0.45, 2) * size
    centre = rng.uniform(radii, size - 1 - radii)
    rows, columns = np.ogrid[:size, :size]
    distance = np.sqrt(((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2)
    mask = np.clip((1 - distance) / 0.2, 0, 1)[..., None].astype(np.float32)  # soft over the outer fifth
    image = Image.fromarray(patch)
    rendered = np.asarray(image.reduce(4).resize(image.size, Image.Resampling.BILINEAR))
    tint = rng.uniform(0, 255, 3).astype(np.float32)
    # More tint would be seen more easily, but then colour says more than noise does, and a bright flower
    # looks forged.
    return _quantise(patch + mask * (0.8 * rendered.astype(np.float32) + 0.2 * tint - patch))


def _quantise(image: np.ndarray) -> np.ndarray:
    """Pixel values, float, as uint8."""
    import numpy as np

    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
