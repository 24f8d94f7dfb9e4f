"""Constructors by name, and their options, whatever form a user's class has."""

import pytest

from objectomaly_ros.models.registry import (
    check_options,
    construct,
    find_constructor,
    keyword_options,
    refuse_unknown,
)


class Own:
    def __init__(self, checkpoint, device, gain, *, bias=0):
        pass


class PassesOn:
    def __init__(self, checkpoint=None, device="cpu", *, depth, **others):
        pass


def test_names_and_modules():
    known = {"join": "os.path:join"}
    join = find_constructor("detector", "join", known)
    assert find_constructor("detector", "os.path:join", known) is join
    with pytest.raises(ValueError, match=r"unknown detector 'joins'; known: join, or 'module:Cla"):
        find_constructor("detector", "joins", known)
    with pytest.raises(ImportError, match=r"'os\.path' has no 'glue'"):
        find_constructor("detector", "os.path:glue", known)


def test_a_users_class_may_have_its_options_in_any_form():
    check_options("own", {"gain", "bias"}, Own)
    with pytest.raises(TypeError, match="own has no option gian, tilt; it has bias, gain"):
        check_options("own", {"gian", "tilt"}, Own)
    with pytest.raises(TypeError, match="own needs the option gain"):
        check_options("own", {"bias"}, Own)
    check_options("own", {"depth", "anything"}, PassesOn)
    with pytest.raises(TypeError, match="own needs the option depth"):
        check_options("own", {"anything"}, PassesOn)


def test_what_has_no_signature_is_left_to_the_call():
    check_options("own", {"anything"}, type)
    check_options("own", {"anything"}, 7)


def test_a_type_error_of_a_constructor_names_the_options():
    def fails(checkpoint, device, size):
        raise TypeError("bad operand")

    with pytest.raises(TypeError, match=r"^own with the options size=\[3\]: bad operand"):
        construct("own", fails, None, "cpu", {"size": [3]})


def test_a_model_without_options():
    with pytest.raises(TypeError, match="own has no option red; it has none"):
        refuse_unknown("own", ["red"], [])


def test_keyword_options():
    assert keyword_options(Own.__init__) == ["bias"]
