"""Warping error and mask consistency from their definitions, one pixel after the other."""

import math


def sample(values, y, x):
    """Interpolate between four pixels; pixels outside repeat the border."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, a in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, b in ((left, 1 - (x - left)), (left + 1, x - left)):
            if a * b > 0:
                r = min(max(row, 0), len(values) - 1)
                c = min(max(column, 0), len(values[0]) - 1)
                total += a * b * float(values[r][c])
    return total


def visible(backward, forward, y, x):
    """Tell whether the way back from (y, x) ends inside the frame before, and returns."""
    bx, by = (float(v) for v in backward[y][x])
    if not (0 <= y + by <= len(backward) - 1 and 0 <= x + bx <= len(backward[0]) - 1):
        return False
    fx, fy = (sample(forward[:, :, k], y + by, x + bx) for k in (0, 1))
    gap = (bx + fx) ** 2 + (by + fy) ** 2
    return gap <= 0.01 * (bx**2 + by**2 + fx**2 + fy**2) + 0.5


def pair(before, score, backward, forward, threshold, ignored_before, ignored):
    """Return the compared pixels, as (warped score, score, warped mask, mask)."""
    found = []
    for y in range(len(score)):
        for x in range(len(score[0])):
            if ignored[y][x] or not visible(backward, forward, y, x):
                continue
            at_y, at_x = y + float(backward[y][x][1]), x + float(backward[y][x][0])
            if sample(ignored_before, at_y, at_x) > 0:
                continue
            nearest = before[round(at_y)][round(at_x)] > threshold
            now = float(score[y][x])
            found.append((sample(before, at_y, at_x), now, bool(nearest), now > threshold))
    return found


def metrics(pairs):
    """Return mask consistency, warping error and relative warping error of compared pairs."""
    pairs = [found for found in pairs if found]
    if not pairs:
        return math.nan, math.nan, math.nan
    errors = [sum((a - b) ** 2 for a, b, _, _ in found) / len(found) for found in pairs]
    ious = []
    for found in pairs:
        union = sum(m or n for _, _, m, n in found)
        if union:
            ious.append(sum(m and n for _, _, m, n in found) / union)
    error = sum(errors) / len(errors)
    values = [b for found in pairs for _, b, _, _ in found]
    centre = sum(values) / len(values)
    variance = sum((v - centre) ** 2 for v in values) / len(values)
    consistency = sum(ious) / len(ious) if ious else math.nan
    return consistency, error, error / variance if variance else math.nan
