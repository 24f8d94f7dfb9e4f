"""Every published checkpoint that the product can use.

Sizes and hashes come from the public source named in `seen`; None means that nobody publishes them.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError

_MODEL_TERMS = "under no stated terms; trained on Cityscapes, whose terms forbid commercial use"
# Kind, beginning of the MD5, bytes, SHA-256.
_SAM = """
h 4b8939 2564550879 a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e
l 0b3195 1249524607 3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622
b 01ec64 375042383 ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912
"""
# Version, kind, bytes (0: not published), SHA-256.
_SAM2 = """
2.1 tiny 156008466 7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69
2.1 small 184416285 6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38
2.1 base_plus 323606802 a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5
2.1 large 898083611 2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318
2 tiny 155906050 65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125
2 small 0 95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3
2 base_plus 323493298 d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071
2 large 897952466 7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b
"""
_META = "https://dl.fbaipublicfiles.com"


@dataclass(frozen=True)
class Checkpoint:
    """One file that somebody publishes.

    Attributes:
        name: its name on the command line.
        serves: the detectors or mask generators that load it.
        url: of the file, or of the page to open in a browser if `by_hand`.
        file: its name in the cache.
        licence: in plain words, of code and weights.
        by_hand: no program can fetch it (Google Drive asks for confirmation).
        member: the name of the checkpoint if `url` is an archive.
        size: bytes of the file at `url`.
        sha256: of the file at `url`, hexadecimal.
        md5_start: the beginning of its MD5, which the authors put into its name.
        seen: the source of size and hash.
        note: how to choose it.
    """

    name: str
    serves: tuple[str, ...]
    url: str
    file: str
    licence: str
    by_hand: bool = False
    member: str | None = None
    size: int | None = None
    sha256: str | None = None
    md5_start: str | None = None
    seen: str = ""
    note: str = ""


def _rba(name: str, note: str) -> Checkpoint:
    return Checkpoint(
        f"rba_{name}",
        ("rba",),
        f"https://github.com/NazirNayal8/RbA/releases/download/model-weights/{name}.zip",
        f"rba_{name}.pth",
        f"code MIT; weights {_MODEL_TERMS}",
        member="model_final.pth",
        note=note,
    )


def _sam(kind: str, md5_start: str, size: str, sha256: str) -> Checkpoint:
    name = f"sam_vit_{kind}"
    file = f"{name}_{md5_start}.pth"
    return Checkpoint(
        name,
        (name,),
        f"{_META}/segment_anything/{file}",
        file,
        "Apache-2.0, code and weights",
        size=int(size),
        sha256=sha256,
        md5_start=md5_start,
        seen="Git LFS pointers of several independent mirrors on Hugging Face agree",
    )


def _sam2(version: str, kind: str, size: str, sha256: str) -> Checkpoint:
    name = f"sam{version}_hiera_{kind}"
    folder = {"2": "072824", "2.1": "092824"}[version]
    return Checkpoint(
        name,
        (f"sam2_hiera_{kind}",),
        f"{_META}/segment_anything_2/{folder}/{name}.pt",
        f"{name}.pt",
        "Apache-2.0, code and weights",
        size=int(size) or None,
        sha256=sha256,
        seen="Git LFS pointer of the authors' repository or of mirrors on Hugging Face",
        note="the better of the two; same network" if version == "2.1" else "",
    )


def _drive(name: str, path: str, note: str, code: str) -> Checkpoint:
    return Checkpoint(
        name,
        (name.partition("_")[0],),
        f"https://drive.google.com/{path}",
        f"{name}.pth",
        f"code {code}; weights {_MODEL_TERMS}",
        by_hand=True,
        note=note,
    )


_ALL = (
    _drive(
        "mask2anomaly",
        "file/d/1mlLYq8ADU7hDyKQdzCtXAkMb7tKIPO-H/view",
        "Mask2Anomaly's own link, in its README up to revision 7cf651e",
        "under a licence that we could not read",
    ),
    _drive(
        "mask2anomaly_objectomaly",
        "file/d/1TO8op0JvEhTzesbo3vcKbkmbPhcVmE47/view",
        "best_contrastive.pth, which Objectomaly's authors run as their coarse stage",
        "under a licence that we could not read",
    ),
    _rba("swin_b_1dl", "Cityscapes only"),
    _rba("swin_l_1dl", "Cityscapes only"),
    _rba(
        "swin_b_1dl_rba_ood_coco",
        "with COCO outliers; the model zoo's link for the Swin-B with Vistas gives this one too",
    ),
    _rba("swin_l_1dl_rba_ood_map_coco", "with Vistas and COCO outliers"),
    _drive(
        "uno_ade20k", "file/d/1ablD-t34MXcP-oSSzSq0-TNz0AxKtp_m/view", "ADE20K negatives", "MIT"
    ),
    _drive(
        "uno_synthetic",
        "file/d/108CHRZFWTnDBonQv2yRjRL3JNj4_y47E/view",
        "synthetic negatives; no outlier data",
        "MIT",
    ),
    _drive(
        "eam_ade20k", "file/d/1u5s10ZhYNR50M5lqW4bjriHdfDMe1xH-/view", "ADE20K negatives", "MIT"
    ),
    Checkpoint(
        "maskomaly",
        ("maskomaly",),
        f"{_META}/maskformer/mask2former/cityscapes/semantic/"
        "maskformer2_swin_large_IN21k_384_bs16_90k/model_final_17c1ee.pkl",
        "maskomaly_model_final_17c1ee.pkl",
        "weights CC BY-NC 4.0: not for commercial use. Maskomaly's code is GPL-2.0; the score here "
        "is written from the paper's formula and contains none of it",
        note="Mask2Former Swin-L, Cityscapes; the query numbers of Maskomaly belong to this file",
    ),
    _drive(
        "rpl_corocl",
        "drive/folders/1rVaBRdOpS2JkAo-ZRO64jSZU0VbdZsDn",
        "rev3.pth, RPL with CoroCL: the better one",
        "MIT, backbone BSD-3-Clause",
    ),
    _drive(
        "rpl",
        "drive/folders/1XHyvdT2LJzbzVJyoNOUHVtReKGg6HkLq",
        "res.pth, RPL alone",
        "MIT, backbone BSD-3-Clause",
    ),
    *(_sam(*line.split()) for line in _SAM.split("\n") if line),
    Checkpoint(
        "mobile_sam",
        ("mobile_sam",),
        "https://huggingface.co/dhkim2810/MobileSAM/resolve/main/mobile_sam.pt",
        "mobile_sam.pt",
        "Apache-2.0, code and weights",
        size=40_728_226,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        seen="Git LFS pointer of that repository",
    ),
    *(_sam2(*line.split()) for line in _SAM2.split("\n") if line),
    Checkpoint(
        "edgetam",
        ("edgetam",),
        "https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt",
        "edgetam.pt",
        "Apache-2.0, code and weights",
        note="56 MB; needs timm for its image encoder",
    ),
)

TABLE: dict[str, Checkpoint] = {checkpoint.name: checkpoint for checkpoint in _ALL}


def find(name: str) -> Checkpoint:
    """Return the checkpoint called `name`.

    Raises:
        CheckpointError: there is none; the message lists the members if it is the name of a family
            or of a detector, else all names.
    """
    if name in TABLE:
        return TABLE[name]
    members = [
        f"{each.name} ({each.note})" if each.note else each.name
        for each in TABLE.values()
        if each.name.startswith((f"{name}_", f"{name}.")) or name in each.serves
    ]
    if members:
        raise CheckpointError(f"{name} is a family, name a member: {'; '.join(members)}")
    close = difflib.get_close_matches(name, TABLE, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise CheckpointError(
        f"no checkpoint is called {name!r}{hint}; there are {', '.join(sorted(TABLE))}"
    )


def cache_dir() -> Path:
    """Return the folder of downloads: `OBJECTOMALY_CACHE`, or `objectomaly` in the user's cache.

    Raises:
        ValueError: neither is known, as HOME is not set and the user has no entry in passwd.
    """
    own = os.environ.get("OBJECTOMALY_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "objectomaly"
    except RuntimeError as error:
        raise ValueError(
            f"no folder for downloads is known ({error}): set HOME or OBJECTOMALY_CACHE"
        ) from error
