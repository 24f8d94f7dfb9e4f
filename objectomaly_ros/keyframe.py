"""From a mask generator to cells, whichever form its masks come in."""

from __future__ import annotations

from objectomaly_ros.cells import Cells
from objectomaly_ros.mask_stack import check_masks, check_tilings
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.oasc_rule import OascRule
from objectomaly_ros.types import Image, MaskGenerator, Masks, ScoreMap, Tilings


def find_masks(
    generator: MaskGenerator, image: Image, score: ScoreMap | None
) -> tuple[Masks | None, Tilings | None]:
    """Ask a generator for the masks of `image`; return the one form that it gives, checked.

    Raises:
        TypeError, ValueError: it gave something else.
    """
    tilings = getattr(generator, "tilings", None)
    if callable(tilings):
        return None, check_tilings(tilings(image, score))
    return check_masks(generator.generate(image, score)), None


def calibrate_with(
    score: ScoreMap, masks: Masks | None, tilings: Tilings | None, rule: OascRule
) -> ScoreMap:
    """Return OASC of one `score` with what `find_masks` found."""
    if masks is not None:
        return calibrate(score, masks, overlap=rule.overlap, residual=rule.residual)
    assert tilings is not None
    return Cells.from_tilings(tilings, (score.shape[0], score.shape[1]), rule=rule).calibrate(score)


def make_cells(
    generator: MaskGenerator,
    image: Image,
    score: ScoreMap | None,
    shape: tuple[int, int],
    rule: OascRule,
) -> Cells:
    """Find the masks of `image` and make cells of them for maps of `shape`."""
    masks, tilings = find_masks(generator, image, score)
    if tilings is not None:
        return Cells.from_tilings(tilings, shape, rule=rule)
    assert masks is not None
    return Cells.from_masks(masks, shape, rule=rule)
