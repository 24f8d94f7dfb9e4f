"""The structure of a JPEG: where it ends, and whether data of the picture are missing.

Decoders fill what is missing with grey, and tell nobody but stderr.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # no stuffed byte and no restart marker
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_WITHOUT_LENGTH = (0x01, 0xD8)
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2  # frames with Huffman codes
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_INTERVAL, _SCAN, _END = 0xDD, 0xDA, 0xD9
_MAX_SCANS = 500
# Bits behind a picture change nothing, bits in the place of lost ones do. libjpeg mentions
# superfluous bytes on stderr, but hardly ever a single one.
_SHORT_TAILS = b"\x5a", b"\xa5"
# Two without a period: a tail may happen to begin like the zeros that decoders take for lost bits.
_LONG_TAILS = tuple(bytes(k * step % 251 for k in range(1, 65)) for step in (73, 101))
_KEPT_ZEROS = 4  # more end no picture, but fill a driver's buffer


@dataclass(frozen=True)
class _Scan:
    """Coded data in `data[start:end]`, with a restart marker after every `interval` blocks."""

    start: int
    end: int
    interval: int
    components: tuple[int, ...]
    coefficients: range
    low_bit: int


class Jpeg:
    """A JPEG that is not decoded.

    Args:
        data: a JPEG; it may lack the end marker, and other bytes may follow it.

    Attributes:
        data: the same with an end marker and nothing behind it.

    Raises:
        ValueError: whole scans or restart intervals are missing.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._size = len(data)
        self._frame = self._width = self._height = 0
        self._sampling: dict[int, tuple[int, int]] = {}  # of components: horizontal, vertical
        self._scans: list[_Scan] = []
        self._ended = False
        try:
            self._parse()
        except (struct.error, IndexError, ValueError):  # within a header: decoders refuse it
            self._scans = []
            return
        if not self._ended:
            self._add_end()
        if self._known and (self._lacks_scans() or self._lacks_restarts()):
            raise self.cut_short()

    def cut_short(self) -> ValueError:
        """Return the error for data that lack a part of the picture."""
        return ValueError(f"its data is cut short: {self._size} bytes lack a part of the picture")

    def last_blocks(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None:
        """Return a pixel of the last block of each restart interval, as rows and columns.

        If the end of an interval is lost, its pixel is grey. None if a loss looks otherwise.
        """
        scan = self._only_scan()
        if scan is None or not self._ended:
            return None
        width, height, across, down = self._blocks()
        interval = scan.interval or across * down
        ends = np.append(np.arange(interval, across * down, interval), across * down) - 1
        # The outermost pixels of a block mix their colour with the next block's.
        rows, columns = ends // across * height + height - 3, ends % across * width + width - 3
        return np.minimum(rows, self._height - 1), np.minimum(columns, self._width - 1)

    def extended(self) -> Iterator[bytes]:
        """Yield the JPEG with more bits behind each interval: the same picture if none is lost."""
        if not self._known:
            return
        for tail in _SHORT_TAILS if self._only_scan() is None else _LONG_TAILS:
            parts, at = [], 0
            for scan in self._scans:
                for end in (*self._restarts(scan), scan.end):
                    parts += [self.data[at:end], tail]
                    at = end
            yield b"".join((*parts, self.data[at:]))

    @property
    def thin(self) -> bool:
        """Whether only the outermost pixels of the last blocks are in the picture."""
        width, height, _, _ = self._blocks()
        return (width > 8 and self._width % width == 1) or (
            height > 8 and self._height % height == 1
        )

    @property
    def _known(self) -> bool:
        return bool(self._scans) and self._frame in (*_SEQUENTIAL, _PROGRESSIVE)

    def _only_scan(self) -> _Scan | None:
        """Return the scan of a sequential picture in grey or colour that has only one."""
        plain = self._known and self._frame in _SEQUENTIAL and len(self._sampling) in (1, 3)
        return self._scans[0] if plain and len(self._scans) == 1 else None

    def _blocks(self) -> tuple[int, int, int, int]:
        """Return the size of the blocks (MCUs) in pixels, and their numbers: across, down."""
        factors = [(1, 1)] if len(self._sampling) == 1 else list(self._sampling.values())
        width, height = (8 * max(1, *side) for side in zip(*factors, (1, 1), strict=True))
        return width, height, -(-self._width // width), -(-self._height // height)

    def _parse(self) -> None:
        data, at, interval = self.data, 2, 0
        while (found := _MARKER.search(data, at)) is not None:
            kind, at = found[1][0], found.end()
            if kind == _END:
                self.data, self._ended = data[:at], True
                return
            if kind in _WITHOUT_LENGTH:
                continue
            (length,) = struct.unpack_from(">H", data, at)
            if kind in _FRAMES:
                self._frame = kind
                self._height, self._width, count = struct.unpack_from(">HHB", data, at + 3)
                parts = struct.iter_unpack("3B", data[at + 8 : at + 8 + 3 * count])
                self._sampling = {name: (both >> 4, both & 15) for name, both, _ in parts}
            elif kind == _INTERVAL:
                (interval,) = struct.unpack_from(">H", data, at + 2)
            elif kind == _SCAN:
                start, count = at + length, data[at + 2]
                names = data[at + 3 : at + 3 + 2 * count : 2]
                first, last, bits = data[at + 3 + 2 * count : at + 6 + 2 * count]
                following = _MARKER.search(data, start)
                end = self._before_fill(start, following.start() if following else len(data))
                # In a sequential picture these three numbers mean nothing.
                known = (
                    range(first, min(last, 63) + 1) if self._frame == _PROGRESSIVE else range(64)
                )
                low_bit = bits & 15 if self._frame == _PROGRESSIVE else 0
                self._scans.append(_Scan(start, end, interval, tuple(names[:4]), known, low_bit))
                if len(self._scans) > _MAX_SCANS:
                    return
            at += length

    def _add_end(self) -> None:
        """Put an end marker behind the last scan, before zeros that fill a driver's buffer."""
        data = self.data[: len(self.data.rstrip(b"\0")) + _KEPT_ZEROS]
        if data.endswith(b"\xff"):
            data = data.rstrip(b"\xff")  # the first half of a stuffed byte
        if self._scans:
            last = self._scans[-1]
            self._scans[-1] = replace(last, end=max(last.start, min(last.end, len(data))))
        self.data = data + bytes((0xFF, _END))

    def _lacks_scans(self) -> bool:
        """Return whether a coefficient of a component is not given to its last bit."""
        missing = {(name, k) for name in self._sampling for k in range(64)}
        for scan in self._scans:
            if scan.low_bit == 0:
                missing -= {(name, k) for name in scan.components for k in scan.coefficients}
        return bool(missing)

    def _lacks_restarts(self) -> bool:
        """Return whether a scan has another number of restart markers; one may be at its end."""
        for scan in self._scans:
            found = len(_RESTART.findall(self.data, scan.start, scan.end)) if scan.interval else 0
            wanted = -(-self._count(scan) // scan.interval) - 1 if scan.interval else 0
            if not wanted <= found <= wanted + 1:
                return True
        return False

    def _restarts(self, scan: _Scan) -> list[int]:
        """Return the ends of the data before restart markers."""
        if not scan.interval:
            return []
        found = _RESTART.finditer(self.data, scan.start, scan.end)
        return [self._before_fill(scan.start, marker.start()) for marker in found]

    def _before_fill(self, start: int, end: int) -> int:
        """Return the end of data without bytes of 0xff, which may fill up before a marker."""
        while end > start and self.data[end - 1] == 0xFF:
            end -= 1
        return end

    def _count(self, scan: _Scan) -> int:
        """Return the number of blocks of a scan."""
        width, height, across, down = self._blocks()
        if len(scan.components) == 1 and scan.components[0] in self._sampling:
            across_8, down_8 = self._sampling[scan.components[0]]
            if len(self._sampling) == 1:
                across_8 = down_8 = 1
            # Of one component alone, the blocks outside of the picture are left out.
            across = -(-self._width * across_8 // width)
            down = -(-self._height * down_8 // height)
        return across * down
