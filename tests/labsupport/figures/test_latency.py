"""The figure of latencies by way."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from labsupport.figures.latency import latency

GROUPS = {
    "from a pod": {"the pod's address": [0.1, 0.2, 0.3], "a proxy": [0.4, 0.5, 9.0]},
    "from here": {"a NodePort": [1.0, 1.5, 2.0]},
}


def test_the_alt_text_tells_each_median() -> None:
    alt = latency(GROUPS, "A GET by each way").alt
    assert alt.startswith("A GET by each way. ")
    assert "from a pod, the pod's address: median 0.20 ms; from a pod, a proxy: median 0.50 ms" in alt
    assert alt.endswith("from here, a NodePort: median 1.50 ms.")


def test_all_labels_lie_within_the_picture() -> None:
    picture = latency(GROUPS, "A GET by each way")
    assert imread(io.BytesIO(picture.png())).shape[0] > 200
    figure = picture.figure
    renderer, edge = FigureCanvasAgg(figure).get_renderer(), figure.bbox
    for ax in figure.axes:
        for text in [*ax.texts, *ax.get_yticklabels()]:
            box = text.get_window_extent(renderer)
            assert box.x0 >= edge.x0 and box.x1 <= edge.x1, text.get_text()
