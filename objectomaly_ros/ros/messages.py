"""Makes messages of the engine's results."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import Point, Point32, Polygon
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.msg import Obstacle, ObstacleArray, RefinementStatus
from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.runtime.camera_state import Counters
from objectomaly_ros.runtime.interface import Result

NAN = float("nan")


def obstacle_array(
    header: Header, obstacles: Obstacles, placements: Sequence[Placement], *, refined: bool
) -> ObstacleArray:
    """Describe the obstacles of one frame.

    Args:
        header: header of the image.
        obstacles: the obstacles.
        placements: one for each obstacle, or empty without the camera's geometry.
        refined: whether masks refined the score.
    """
    height, width = obstacles.mask.shape
    return ObstacleArray(
        header=header,
        width=width,
        height=height,
        refined=refined,
        obstacles=[
            _obstacle(region, track_id, age, placements[index] if placements else Placement())
            for index, (region, track_id, age) in enumerate(
                zip(obstacles.regions, obstacles.ids, obstacles.ages, strict=True)
            )
        ],
    )


def _obstacle(region: Region, track_id: int, age: int, placed: Placement) -> Obstacle:
    x, y, width, height = region.box
    corners = [Point32(x=float(cx), y=float(cy)) for cx, cy in region.contour]
    nx, ny, nz = placed.nearest
    return Obstacle(
        id=track_id,
        score=region.score,
        max_score=region.max_score,
        box=RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height),
        contour=Polygon(points=corners),
        area=region.area,
        age=age,
        range=placed.range_m,
        range_std=placed.nearest_std,
        height=placed.height,
        position=Point(x=nx, y=ny, z=nz),
    )


def status(header: Header, result: Result, latency: float, problem: str = "") -> RefinementStatus:
    """Describe the processing of one image, published `latency` seconds after its arrival."""
    refined, timings, counters = result.refined, result.timings, result.counters
    generation = result.mask_generation_s
    return RefinementStatus(
        header=header,
        camera=result.frame.camera,
        healthy=not problem,
        problem=problem,
        refined=refined.mask_count is not None,
        mask_count=refined.mask_count or 0,
        mask_age_frames=-1 if refined.age_frames is None else refined.age_frames,
        mask_age=NAN if refined.age_s is None else refined.age_s,
        latency=latency,
        queue_wait=timings.queue_wait,
        coarse_time=timings.coarse,
        propagation_time=timings.propagation,
        oasc_time=timings.oasc,
        mbp_time=timings.mbp,
        detector_adapted=result.adapted,
        mask_generation_time=NAN if generation is None else generation,
        **_totals(counters),
    )


def status_without_image(
    header: Header, camera: str, problem: str, counters: Counters
) -> RefinementStatus:
    """Tell why a camera has no results; its latency is NaN, its header that of the newest image."""
    return RefinementStatus(
        header=header,
        camera=camera,
        healthy=False,
        problem=problem,
        mask_age_frames=-1,
        mask_age=NAN,
        latency=NAN,
        mask_generation_time=NAN,
        **_totals(counters),
    )


def _totals(counters: Counters) -> dict[str, int]:
    return {
        "frames_received": counters.received,
        "frames_scored": counters.scored,
        "frames_dropped": counters.dropped,
        "frames_rejected": counters.rejected,
    }
