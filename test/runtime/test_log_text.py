from objectomaly_ros.runtime.log_text import Throttle, describe


def test_a_key_is_heard_once_a_period_and_what_was_held_back_is_counted():
    now = [0.0]
    throttle = Throttle(5.0, clock=lambda: now[0])
    assert throttle.admit("a", "wrong step") == "wrong step"
    assert throttle.admit("b", "other") == "other"
    for _ in range(3):
        now[0] += 1
        assert throttle.admit("a", "wrong step") is None
    now[0] += 3
    assert throttle.admit("a", "wrong step") == "wrong step (3 more like this in the meantime)"
    now[0] += 6
    assert throttle.admit("a", "wrong step") == "wrong step"


def test_keys_that_always_change_take_bounded_memory_and_lines():
    now = [0.0]
    throttle = Throttle(5.0, clock=lambda: now[0])
    for _ in range(3):
        heard = [throttle.admit(f"{now[0]} {k}", "x") for k in range(1000) for _ in range(2)]
        assert 50 < sum(text is not None for text in heard) < 200
        assert len(throttle._last) + len(throttle._held) < 500
        now[0] += 6


def test_an_error_is_one_line_with_its_type_unless_the_words_suffice():
    assert describe(ValueError("two\n lines")) == "two lines"
    assert describe(RuntimeError("out of memory")) == "RuntimeError: out of memory"
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert describe(ValueError()) == "ValueError"


def test_no_error_can_spoil_the_log():
    class SilentError(Exception):
        def __str__(self):
            raise ValueError("no words")

    assert describe(SilentError()) == "SilentError"
    assert describe(ValueError("\x1b[2J")) == r"\x1b[2J"
    assert len(describe(ValueError("x" * 10**6))) == 2000
