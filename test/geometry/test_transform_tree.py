"""Transforms between the frames of a tree, as TF gives them."""

import numpy as np

from objectomaly_ros.geometry.transform_tree import TransformSeen, Tree

OPTICAL = (-0.5, 0.5, -0.5, 0.5)
STILL = (0.0, 0.0, 0.0, 1.0)


def edge(parent, child, turn=STILL, *, x=0.0, z=0.0):
    return TransformSeen(parent, child, (x, 0.0, z), turn, True)


GOOD = (edge("base_link", "mast", x=1.0), edge("mast", "optical", OPTICAL, z=1.5))


def test_transforms_are_those_of_tf():
    tree = Tree({(e.child, e.parent): e for e in (*GOOD, edge("base_link", "other", z=0.5))})
    found = tree.transform("base_link", "optical")
    np.testing.assert_allclose(found @ [0, 0, 2, 1], [3, 0, 1.5, 1], atol=1e-12)
    np.testing.assert_allclose(tree.transform("other", "optical")[:3, 3], [1, 0, 1], atol=1e-12)
    back = tree.transform("optical", "base_link")
    np.testing.assert_allclose(back @ found, np.eye(4), atol=1e-12)
    assert tree.transform("map", "optical") is None
    assert len(tree.path("other", "mast")) == 2


def test_rings_end():
    tree = Tree({("a", "b"): edge("b", "a"), ("b", "a"): edge("a", "b")})
    assert tree.root("a")
