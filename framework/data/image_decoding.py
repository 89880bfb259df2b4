"""Decoding of image files to pixels, in a graph.

JPEG, PNG, BMP, WebP and GIF are told apart by their first bytes, not by their names. Every image becomes
uint8 RGB. Grey values are repeated. Of 16 bits the upper 8 are kept. CMYK is converted. Of an animation the
first frame is taken. Alpha is dropped, as by Pillow's `convert("RGB")`, since compositing needs a background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from framework.data.exif import EXIF_MARK, PNG_MARK, UPRIGHT, orientation_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

Exif = Literal["apply", "ignore"]
Jpeg = Literal["accurate", "fast"]


def height_and_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Return the height and the width that `image_size` gives, as one number for both or as two.

    >>> height_and_width(256), height_and_width((120, 200))
    ((256, 256), (120, 200))
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def read_image(file: tf.Tensor, size: tuple[int, int], *, exif: Exif, jpeg: Jpeg) -> tf.Tensor:
    """Read an image file as pixels.

    Args:
        file: the path of the file, a string scalar.
        size: height and width of the result, in pixels.
        exif: apply: the image is turned upright as its EXIF data say; ignore: it is left as it is stored.
        jpeg: how the blocks of a JPEG are computed. accurate: as Pillow and OpenCV do; fast: TensorFlow's
            default, off by up to 9 of 255.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    import tensorflow as tf

    with tf.device("/CPU:0"):
        data = tf.io.read_file(file)
        head = tf.io.decode_raw(data, tf.uint8, fixed_length=32)
        image = _decode(data, head, jpeg)
        if exif == "ignore":
            return tf.ensure_shape(tf.cast(_resize(image, size), tf.uint8), [*size, 3])
        orientation = _orientation(data, head)
        # The image is turned after it is resized, since transposing a photograph of 12 megapixels takes as
        # long as decoding it. The result is the same but for rounding.
        stored = size if size[0] == size[1] else tf.where(orientation > 4, size[::-1], size)
        upright = _upright(_resize(image, stored), orientation)
        return tf.ensure_shape(tf.cast(upright, tf.uint8), [*size, 3])


def _stands(head: tf.Tensor, text: bytes, at: int) -> tf.Tensor:
    """Return whether a text is at a place in the first bytes of a file."""
    import tensorflow as tf

    return tf.reduce_all(head[at : at + len(text)] == tf.constant(list(text), tf.uint8))


def _orientation(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """Return the orientation in the EXIF data of a file, an int64 scalar, 1 to 8; 1 is upright."""
    import tensorflow as tf

    def parse(content: bytes | np.ndarray) -> np.int64:
        import numpy as np

        # Outside of a graph TensorFlow passes a scalar array of Python objects.
        return np.int64(orientation_of(content if isinstance(content, bytes) else content.item()))

    # Python is called only if the mark of EXIF data is found. In a file without the mark the search takes
    # half a millisecond a megabyte.
    is_png = _stands(head, b"\x89PNG", 0)
    parts = tf.raw_ops.StringSplitV2(input=[data], sep=tf.where(is_png, PNG_MARK, EXIF_MARK), maxsplit=1)
    is_webp = _stands(head, b"RIFF", 0) & _stands(head, b"WEBPVP8X", 8)
    # A WebP has a bit for EXIF data (RFC 9649, section 2.7), and may lack the mark of JPEG.
    may = tf.where(is_webp, tf.bitwise.bitwise_and(head[20], 0x08) > 0, tf.size(parts.values) > 1)
    found = tf.cond(
        may & (_stands(head, b"\xff\xd8\xff", 0) | is_png | is_webp),
        # Not stateful: under determinism TensorFlow runs stateful operations one after the other.
        lambda: tf.numpy_function(parse, [data], tf.int64, stateful=False),
        lambda: tf.constant(UPRIGHT, tf.int64),
    )
    return tf.ensure_shape(found, [])


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn an image upright, as `framework.data.exif.MEANINGS` describes its orientation.

    Its values are float32, since TensorFlow warns on stderr about transposing uint8 on many processors.
    """
    import tensorflow as tf

    def turned() -> tf.Tensor:
        transposed = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        columns, rows = (tf.reduce_any(orientation == which) for which in ([2, 3, 6, 7], [3, 4, 7, 8]))
        mirrored = tf.cond(columns, lambda: tf.reverse(transposed, [1]), lambda: transposed)
        return tf.cond(rows, lambda: tf.reverse(mirrored, [0]), lambda: mirrored)

    return tf.cond(orientation == UPRIGHT, lambda: image, turned)


def _decode(data: tf.Tensor, head: tf.Tensor, jpeg: Jpeg) -> tf.Tensor:
    """Decode the content of an image file to uint8 [height, width, 3].

    `tf.io.decode_image` knows all formats, but computes a JPEG inexactly, fails on a WebP with alpha, and
    takes a BMP's indices into its palette for grey values.

    Args:
        data: the content, a string scalar.
        head: its first 32 bytes, uint8.
        jpeg: as for `read_image`.
    """
    import tensorflow as tf

    def bit_4(at: int) -> tf.Tensor:
        return tf.bitwise.bitwise_and(head[at], 0x10) > 0

    # The bits of a WebP that say that it has alpha: RFC 9649, sections 2.7 (VP8X) and 3.4 (VP8L).
    webp_with_alpha = _stands(head, b"RIFF", 0) & (
        (_stands(head, b"WEBPVP8X", 8) & bit_4(20)) | (_stands(head, b"WEBPVP8L", 8) & bit_4(24))
    )
    bmp_with_palette = _stands(head, b"BM", 0) & (head[28] == 8)

    def decode_palette() -> tf.Tensor:
        # The table of blue, green, red, 0 follows the file header of 14 bytes and the info header, which
        # starts with its length.
        start = 14 + tf.cast(head[14], tf.int32)
        table = tf.reshape(
            tf.io.decode_raw(tf.strings.substr(data, start, 1024), tf.uint8, fixed_length=1024), [256, 4]
        )
        indices = tf.io.decode_bmp(data)[..., 0]
        return tf.gather(table[:, 2::-1], tf.cast(indices, tf.int32))

    def decode_others() -> tf.Tensor:
        return tf.cond(
            webp_with_alpha,
            # The first frame of [frames, height, width, 4]. channels=0 would work for every WebP, but makes
            # TensorFlow 2.21 write beyond its memory if an animation has no alpha. With 3 channels, below, it
            # refuses such a file.
            lambda: tf.image.decode_webp(data, channels=4)[0, ..., :3],
            lambda: tf.cond(
                bmp_with_palette,
                decode_palette,
                lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
            ),
        )

    if jpeg == "fast":
        return decode_others()
    return tf.cond(
        _stands(head, b"\xff\xd8\xff", 0),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        decode_others,
    )


def _resize(image: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Resize uint8 [height, width, 3] bilinearly to another height and width; float32, rounded.

    An image that shrinks to half or less is smoothed (antialias), since plain resizing would skip pixels.
    Smoothing takes three times as long as decoding and plain resizing together. Above half it would change a
    photograph by at most 0.6 of 255 on average, so it is left out.
    """
    import tensorflow as tf

    image = tf.ensure_shape(image, [None, None, 3])
    resized = tf.cond(
        tf.reduce_any(tf.shape(image)[:2] >= 2 * tf.convert_to_tensor(size)),
        lambda: tf.image.resize(image, size, antialias=True),
        lambda: tf.image.resize(image, size),
    )
    return tf.round(resized)
