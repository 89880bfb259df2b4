"""Summaries for event files: what TensorBoard shows as scalars, texts, images, histograms, curves and graphs.

They are made by hand from TensorBoard's protocol buffers where its own functions need an op of TensorFlow for
each, or memory for thirty copies of the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from tensorboard.compat.proto.summary_pb2 import Summary

_BUCKETS = 30


def scalar(tag: str, value: float) -> Summary:
    """A number."""
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    return scalar_pb(tag, value)


def text(tag: str, markdown: str) -> Summary:
    """A text in Markdown."""
    from tensorboard.plugins.text.summary_v2 import text_pb

    return text_pb(tag, markdown)


def image(tag: str, encoded: bytes, width: int, height: int, description: str = "") -> Summary:
    """An image.

    Args:
        encoded: the content of a PNG or JPEG file.
        width, height: in pixels.
        description: in Markdown.
    """
    from tensorboard.plugins.image.metadata import create_summary_metadata

    metadata = create_summary_metadata(display_name=None, description=description)
    return _of_strings(tag, [str(width).encode(), str(height).encode(), encoded], metadata)


def histogram(tag: str, values: np.ndarray) -> Summary:
    """How values are spread, in thirty parts of one width.

    Args:
        values: floats of any shape; those that are not finite are left out.
    """
    import numpy as np
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.histogram.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    finite = np.ravel(values).astype(np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size:
        counts, edges = np.histogram(finite, _BUCKETS)
        buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
    else:
        buckets = np.zeros([_BUCKETS, 3])
    summary = Summary()
    metadata = create_summary_metadata(display_name=None, description=None)
    summary.value.add(tag=tag, metadata=metadata, tensor=make_tensor_proto(buckets, dtype=np.float64))
    return summary


def pr_curve(tag: str, targets: np.ndarray, scores: np.ndarray, description: str = "") -> Summary:
    """Precision and recall at each of 201 thresholds from 0 to 1.

    Args:
        targets: [samples], True for the positive class.
        scores: float [samples], the probability of the positive class.
        description: in Markdown.
    """
    import numpy as np
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.pr_curve.summary import pb

    name = tag.rpartition("/")[2]
    made = pb(tag, np.asarray(targets, bool), np.clip(scores, 0, 1), display_name=name, num_thresholds=201)
    summary = Summary.FromString(made.SerializeToString())
    for value in summary.value:
        value.metadata.summary_description = description
    return summary


def keras_graph(tag: str, json: str) -> Summary:
    """The layers of a Keras model, from its `to_json()`, as the Graphs tab shows them for the tag "Conceptual graph"."""
    from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
    from tensorboard.plugins.graph.metadata import PLUGIN_NAME_KERAS_MODEL

    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME_KERAS_MODEL, content=b"1")
    return _of_strings(tag, json.encode(), SummaryMetadata(plugin_data=plugin))


def _of_strings(tag: str, content: bytes | list[bytes], metadata: object) -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.util.tensor_util import make_tensor_proto

    summary = Summary()
    summary.value.add(tag=tag, metadata=metadata, tensor=make_tensor_proto(content))
    return summary
