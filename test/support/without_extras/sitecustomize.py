"""Python runs this at its start if the folder is in PYTHONPATH: the packages of extras are gone."""

import os
import sys

EXTRAS = {
    "torch", "torchvision", "transformers", "segment_anything", "safetensors", "timm", "sklearn",
    "pooch", "matplotlib", "onnx", "onnxscript", "fsspec", "pyarrow", "ray",
}  # fmt: skip
GONE = EXTRAS | set(os.environ.get("ALSO_WITHOUT", "").split())


class _NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, _NotInstalled())
