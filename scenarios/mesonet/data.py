"""Data of MesoNet: a small set of forged and real image patches that needs no download, and batches for Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from framework import ArraySource, DataConfig, DataError, Split, setting
from scenarios.mesonet.generators import get_test_data_generator as get_test_data_generator
from scenarios.mesonet.generators import get_train_data_generator as get_train_data_generator

if TYPE_CHECKING:
    import numpy as np

CLASSES = ("forged", "real")

# A constant, because another seed would make another data set.
_SEED = 1809_00888

# Each photograph (427 rows, 640 columns) is divided into two rows of three square tiles. Validation gets the
# upper middle one, because it shows something of each of the other tiles: validation does not contain scenery
# that training lacks.
_TILE = 213
_TILES = {
    Split.TRAIN: ((0, 0), (0, 2), (1, 0), (1, 1), (1, 2)),
    Split.VALIDATION: ((0, 1),),
}


class PatchSource(ArraySource):
    """The patches of a split, in memory.

    Images are uint8 [n, size, size, 3], labels float32 [n, 1], 1 for the positive class.
    """

    classes = CLASSES


@dataclass(frozen=True, kw_only=True)
class ForgedPatches(DataConfig):
    """Patches of the two photographs that scikit-learn ships (china.jpg and flower.jpg), half of them forged.

    Sensor noise is added to the photographs. Then each forged patch gets an ellipse that is rendered at a
    quarter of the resolution, recoloured, and blended in with a soft edge. The face-swapping networks of
    MesoNet's time forged video frames in this way, and lost fine detail (Afchar et al. 2018,
    arXiv:1809.00888, section 1.1). The missing noise distinguishes the ellipse everywhere; blur alone would
    not, because the photographs have blurred backgrounds of their own.

    Each photograph is divided into six tiles. Training patches are from five of them, validation patches from
    the sixth, so no pixel of a photograph is in both. Within a tile, patches overlap. There is no test split.

    Random numbers come from a fixed seed, not from the run's seed: the data set is the same in each run, and
    the first patches of a split do not depend on how many follow.
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
        """Return the patches of a split; forged and real ones alternate.

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
    """Make the patches of a split.

    Returns:
        The images, uint8 [count, size, size, 3]; whether each is forged, bool [count]; and the name of each.
    """
    import numpy as np
    from sklearn.datasets import load_sample_images

    files = load_sample_images()
    rng = np.random.default_rng([_SEED, list(_TILES).index(split)])
    # With less contrast than the photographs have; else the noise would be clipped in white sky and black
    # leaves.
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
    """Add a rendered ellipse to a patch, uint8 [size, size, 3]. The ellipse does not touch the border."""
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
    # With more tint, forgeries would be easier to see, but colour would say more than noise, and a bright
    # flower would look forged.
    return _quantise(patch + mask * (0.8 * rendered.astype(np.float32) + 0.2 * tint - patch))


def _quantise(image: np.ndarray) -> np.ndarray:
    """Round float pixel values to uint8."""
    import numpy as np

    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
