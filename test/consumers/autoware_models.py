"""A small model of what Autoware's autonomous emergency braking (AEB) makes of a point cloud.

Written from the rules of autoware_autonomous_emergency_braking (autoware_universe at 02750c9b) with
its default parameters; docs/planners.md names the files. The vehicle drives straight ahead.
"""

import numpy as np
from messages_in import xyz
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

VOXEL_M = 0.05  # along x and y; one voxel holds all heights
CLUSTER_TOLERANCE_M, CLUSTER_POINTS, CLUSTER_HEIGHT_M = 0.15, 10, 0.1


def clusters(cloud, vehicle_height=2.5):
    """Return the clusters of points that AEB takes for obstacles, each (N, 3)."""
    points = xyz(cloud)
    points = points[(points[:, 2] >= 0.0) & (points[:, 2] <= vehicle_height)]
    if not len(points):
        return []
    _, voxel = np.unique(np.floor(points[:, :2] / VOXEL_M), axis=0, return_inverse=True)
    voxel = voxel.ravel()
    counts = np.bincount(voxel)[:, None]
    centres = np.column_stack([np.bincount(voxel, axis) for axis in points.T]) / counts
    pairs = cKDTree(centres).query_pairs(CLUSTER_TOLERANCE_M, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=2 * (len(centres),))
    _, labels = connected_components(links, directed=False)
    found = [centres[labels == label] for label in range(labels.max() + 1)]
    return [
        cluster
        for cluster in found
        if len(cluster) >= CLUSTER_POINTS and cluster[:, 2].max() > CLUSTER_HEIGHT_M
    ]


def brakes(cloud, speed, *, front=1.0, width=1.8):
    """Return whether AEB brakes for a standing obstacle; None without a cloud: it does not.

    Args:
        cloud: the newest one; None if there is none.
        speed: of the vehicle, metres a second.
        front: metres from the base frame's origin to the vehicle's front.
        width: of the vehicle, metres.
    """
    if cloud is None or abs(speed) < 0.1:
        return None
    path = min(max(1.5 * speed, 0.5), 10.0)
    safe = speed * 1.0 + speed**2 / (2 * 3.0) + 1.0  # reaction, braking, margin
    for cluster in clusters(cloud):
        ahead = cluster[np.abs(cluster[:, 1]) <= width / 2 + 0.1, 0] - front
        ahead = ahead[(ahead >= 0) & (ahead <= path)]
        if len(ahead) and ahead.min() <= safe:
            return True
    return False
