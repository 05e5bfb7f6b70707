import numpy as np
import pytest
from matplotlib.colors import to_rgb

from fedlab.results.drawing.partition import draw_partition
from fedlab.results.drawing.style import LIGHT, save_png
from fedlab.results.rows import PartitionFile


def described(clients: int, classes: int = 10) -> dict:
    counts = np.random.default_rng(0).integers(0, 30, (clients, classes)) + np.eye(
        clients, classes, dtype=int
    )
    return {
        "clients": clients,
        "sizes": counts.sum(1).tolist(),
        "labels": [f"class {number}" for number in range(classes)],
        "counts": counts.tolist(),
        "skew": {"size_gini": 0.1},
    }


def test_few_clients_show_their_sizes_and_counts_in_order():
    statistics = described(10)
    sizes, classes = draw_partition(PartitionFile.model_validate(statistics)).axes
    assert [bar.get_height() for bar in sizes.patches] == statistics["sizes"]
    written = {tuple(map(round, text.get_position())): text.get_text() for text in classes.texts}
    counts = statistics["counts"]
    expected = {
        (client, number): str(counts[client][number])
        for client in range(10)
        for number in range(10)
        if counts[client][number]
    }
    assert written == expected
    assert [label.get_text() for label in classes.get_yticklabels()] == statistics["labels"]


def test_shades_are_the_clients_shares_of_classes():
    statistics = {**described(2, 2), "sizes": [4, 2], "counts": [[4, 0], [1, 1]]}
    image = np.asarray(
        draw_partition(PartitionFile.model_validate(statistics)).axes[1].images[0].get_array()
    )
    assert image[0, 0, :3] == pytest.approx(to_rgb(LIGHT["federated"]))
    shares = (image[..., 3] / 0.95) ** 2
    assert shares == pytest.approx(np.array([[1, 0.5], [0, 0.5]]))


def test_a_thousand_clients_are_sorted_by_their_main_class(tmp_path):
    figure = draw_partition(PartitionFile.model_validate(described(1000)))
    image = figure.axes[1].images[0].get_array()
    main = image[..., 3].argmax(axis=0)
    assert (np.diff(main) >= 0).all()
    assert "1,000 clients, sorted" in figure.axes[1].get_xlabel()
    assert not figure.axes[1].texts
    save_png(figure, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_clients_without_classes_show_sizes_and_names_alone():
    statistics = {"clients": 2, "sizes": [3, 5], "names": ["HAMLET", "R" * 40], "skew": {}}
    (axes,) = draw_partition(PartitionFile.model_validate(statistics)).axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["HAMLET", "R" * 23 + "…"]
