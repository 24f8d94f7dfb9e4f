"""Every published checkpoint that the product can use.

Sizes and hashes stand here only where they have been read from a public source, named in `seen`;
None means that nobody publishes them. Scores and tracks are in the README.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError

_MODEL_TERMS = "under no stated terms; trained on Cityscapes, whose terms forbid commercial use"
_SAM_SEEN = "Git LFS pointers of several independent mirrors on Hugging Face agree"


@dataclass(frozen=True)
class Checkpoint:
    """One file that somebody publishes.

    Attributes:
        name: what the command calls it.
        serves: the detectors or mask generators that load it.
        url: the file itself, or the page to open in a browser where `by_hand`.
        file: its name in the cache; for an archive, that of the file taken out of it.
        licence: in plain words; code and weights apart where they differ.
        by_hand: the file cannot be fetched by a program (Google Drive asks for confirmation).
        member: the file's name within the archive at `url`; None where `url` is the file itself.
        size: bytes of what `url` gives.
        sha256: of what `url` gives, hexadecimal.
        md5_start: how its MD5 begins, where the authors put that into the file's name.
        seen: where size and hash were read.
        note: what to know before choosing it.
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


def _drive(identifier: str) -> str:
    return f"https://drive.google.com/file/d/{identifier}/view"


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


def _sam(name: str, file: str, size: int, sha256: str) -> Checkpoint:
    return Checkpoint(
        name,
        (name,),
        f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        file,
        "Apache-2.0, code and weights",
        size=size,
        sha256=sha256,
        md5_start=file.removesuffix(".pth").rpartition("_")[2],
        seen=_SAM_SEEN,
    )


def _sam2(version: str, kind: str, sha256: str, size: int | None) -> Checkpoint:
    name = f"sam{version}_hiera_{kind}"
    folder = {"2": "072824", "2.1": "092824"}[version]
    return Checkpoint(
        name,
        (f"sam2_hiera_{kind}",),
        f"https://dl.fbaipublicfiles.com/segment_anything_2/{folder}/{name}.pt",
        f"{name}.pt",
        "Apache-2.0, code and weights",
        size=size,
        sha256=sha256,
        seen="Git LFS pointer of the authors' repository or of mirrors on Hugging Face",
        note="the better of the two; same network" if version == "2.1" else "",
    )


def _drive_hosted(name: str, serves: tuple[str, ...], url: str, note: str, code: str) -> Checkpoint:
    licence = f"code {code}; weights {_MODEL_TERMS}"
    return Checkpoint(name, serves, url, f"{name}.pth", licence, by_hand=True, note=note)


_ALL = (
    _drive_hosted(
        "mask2anomaly",
        ("mask2anomaly",),
        _drive("1mlLYq8ADU7hDyKQdzCtXAkMb7tKIPO-H"),
        "Mask2Anomaly's own link, in its README up to revision 7cf651e",
        "under a licence that we could not read",
    ),
    _drive_hosted(
        "mask2anomaly_objectomaly",
        ("mask2anomaly",),
        _drive("1TO8op0JvEhTzesbo3vcKbkmbPhcVmE47"),
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
    _drive_hosted(
        "uno_ade20k",
        ("uno",),
        _drive("1ablD-t34MXcP-oSSzSq0-TNz0AxKtp_m"),
        "ADE20K negatives",
        "MIT",
    ),
    _drive_hosted(
        "uno_synthetic",
        ("uno",),
        _drive("108CHRZFWTnDBonQv2yRjRL3JNj4_y47E"),
        "synthetic negatives; no outlier data",
        "MIT",
    ),
    _drive_hosted(
        "eam_ade20k",
        ("eam",),
        _drive("1u5s10ZhYNR50M5lqW4bjriHdfDMe1xH-"),
        "ADE20K negatives",
        "MIT",
    ),
    Checkpoint(
        "maskomaly",
        ("maskomaly",),
        "https://dl.fbaipublicfiles.com/maskformer/mask2former/cityscapes/semantic/"
        "maskformer2_swin_large_IN21k_384_bs16_90k/model_final_17c1ee.pkl",
        "maskomaly_model_final_17c1ee.pkl",
        "weights CC BY-NC 4.0: not for commercial use. Maskomaly's code is GPL-2.0; the score here "
        "is written from the paper's formula and contains none of it",
        note="Mask2Former Swin-L, Cityscapes; the query numbers of Maskomaly belong to this file",
    ),
    _drive_hosted(
        "rpl_corocl",
        ("rpl",),
        "https://drive.google.com/drive/folders/1rVaBRdOpS2JkAo-ZRO64jSZU0VbdZsDn",
        "rev3.pth, RPL with CoroCL: the better one",
        "MIT, backbone BSD-3-Clause",
    ),
    _drive_hosted(
        "rpl",
        ("rpl",),
        "https://drive.google.com/drive/folders/1XHyvdT2LJzbzVJyoNOUHVtReKGg6HkLq",
        "res.pth, RPL alone",
        "MIT, backbone BSD-3-Clause",
    ),
    _sam(
        "sam_vit_h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    _sam(
        "sam_vit_l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "sam_vit_b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
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
    _sam2(
        "2.1",
        "tiny",
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        156_008_466,
    ),
    _sam2(
        "2.1",
        "small",
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        184_416_285,
    ),
    _sam2(
        "2.1",
        "base_plus",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        323_606_802,
    ),
    _sam2(
        "2.1",
        "large",
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        898_083_611,
    ),
    _sam2(
        "2",
        "tiny",
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        155_906_050,
    ),
    _sam2(
        "2",
        "small",
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        None,
    ),
    _sam2(
        "2",
        "base_plus",
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        323_493_298,
    ),
    _sam2(
        "2",
        "large",
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        897_952_466,
    ),
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
    """Return the checkpoint called `name`; a `CheckpointError` lists the names where there is
    none.
    """
    try:
        return TABLE[name]
    except KeyError:
        raise CheckpointError(
            f"no checkpoint is called {name!r}; there are {', '.join(sorted(TABLE))}"
        ) from None


def cache_dir() -> Path:
    """Return the folder that downloads go to.

    `OBJECTOMALY_CACHE` where it is set, else `objectomaly` in the user's cache folder.
    """
    own = os.environ.get("OBJECTOMALY_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "objectomaly"
