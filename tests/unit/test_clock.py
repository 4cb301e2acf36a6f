"""Engine time: it goes on, never jumps, and knows when this process did not run."""

from tidegate_controller.clock import GAP_SECONDS, EngineClock


class Source:
    def __init__(self) -> None:
        self.seconds = 5000.0

    def __call__(self) -> float:
        return self.seconds


def test_engine_time_goes_on_from_the_last_recorded_value() -> None:
    source = Source()
    clock = EngineClock(100.0, source)
    assert clock.now() == 100.0
    source.seconds += 2.5
    assert clock.now() == 102.5


def test_an_absence_of_the_process_is_no_passing_of_time() -> None:
    source = Source()
    clock = EngineClock(100.0, source)
    source.seconds += 3600.0
    assert clock.now() == 100.0
    source.seconds += GAP_SECONDS
    assert clock.now() == 100.0 + GAP_SECONDS
