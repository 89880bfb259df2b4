"""Pictures of arrays."""

from __future__ import annotations

import numpy as np

from framework.report.pictures import grid, overlay


def test_the_hottest_place_of_a_map_is_the_one_that_is_coloured() -> None:
    image = np.full((100, 120, 3), 90, "uint8")
    heat = np.zeros((5, 6))
    heat[1, 4] = 3.0
    drawn = overlay(image, heat)
    assert drawn.shape[1] == 2 * drawn.shape[0] * 120 // 100 and drawn.dtype == np.uint8
    left, right = drawn[:, : drawn.shape[1] // 2], drawn[:, drawn.shape[1] // 2 :]
    assert (left == 90).all()
    changed = np.abs(right.astype(int) - 90).sum(axis=2)
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    assert (row * 5 // right.shape[0], column * 6 // right.shape[1]) == (1, 4)
    assert changed[-20:].sum() == 0


def test_a_map_without_heat_and_a_grey_image() -> None:
    drawn = overlay(np.full((8, 8), 7, "uint8"), np.zeros((2, 2)))
    assert (drawn == 7).all() and drawn.shape == (128, 256, 3)


def test_a_grid_shows_each_array_from_its_lowest_to_its_highest() -> None:
    drawn = grid([np.array([[0.0, 1e-6]]), np.array([[5.0, 5.0]]), np.array([[-3.0, 9.0]])])
    assert drawn.dtype == np.uint8 and drawn.ndim == 2
    half = drawn[: drawn.shape[0] // 2, : drawn.shape[1] // 2]
    assert {0, 255} <= set(half.ravel().tolist())
