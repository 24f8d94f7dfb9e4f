"""A missing package is named with its extra and the command that installs it."""

import importlib

import pytest

from objectomaly_ros.models.extras import naming_extra


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            "torch.nn",
            "detector rpl needs torch, which is not installed: pip install "
            "'objectomaly_ros[paper]' (in a checkout: make env PROFILE=paper)",
        ),
        (
            "rosbags",
            "detector rpl needs rosbags, which is not installed: pip install rosbags",
        ),
    ],
)
def test_a_package_of_ours_is_named_with_its_command(module, text):
    with pytest.raises(ImportError) as caught, naming_extra("detector rpl"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert str(caught.value) == text
    assert not isinstance(caught.value, ModuleNotFoundError)


def test_another_missing_module_is_left_as_it_is():
    missing = pytest.raises(ModuleNotFoundError, match="No module named 'nobody_has_this'")
    with missing, naming_extra("detector rpl"):
        importlib.import_module("nobody_has_this")
