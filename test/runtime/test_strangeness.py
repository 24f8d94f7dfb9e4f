"""A camera whose images stay unlike the training's."""

from objectomaly_ros.runtime.strangeness import LASTING_S, Strangeness


def test_it_is_told_once_after_ten_seconds():
    watch = Strangeness()
    told = [watch.add(1.5, second) for second in range(30)]
    assert told == [second == LASTING_S for second in range(30)]
    assert watch.lasts


def test_a_familiar_image_begins_anew():
    watch = Strangeness()
    assert not any(watch.add(1.5 if second % 9 else 0.9, second) for second in range(60))
    assert not watch.lasts


def test_it_ends_and_is_not_told_again():
    watch = Strangeness()
    assert sum(watch.add(2.0, second) for second in range(12)) == 1
    assert not watch.add(0.5, 12)
    assert not watch.lasts
    assert not any(watch.add(2.0, second) for second in range(13, 40))
    assert watch.lasts


def test_what_is_not_known_is_not_strange():
    watch = Strangeness()
    assert not any(watch.add(None, second) for second in range(40))
    assert not watch.lasts
