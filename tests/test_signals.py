"""Signals that ask a process to end: raised or noticed inside, the user's own handlers left alone, everything put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from scae.errors import Interrupted
from scae.signals import ENDING, interrupting, noticed

pytestmark = pytest.mark.usefixtures("python_handlers")
each_signal = pytest.mark.parametrize("number", ENDING)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_the_signals_that_end_a_job_are_among_them():
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} == set(ENDING)


@each_signal
def test_interrupting_raises_where_the_work_is_and_carries_out_every_finally(number):
    tidied = []

    def work() -> None:
        try:
            send(number)
            pytest.fail("the work went on")
        finally:
            tidied.append(True)

    with pytest.raises(Interrupted, match=signal.Signals(number).name) as stopped, interrupting():
        work()
    assert stopped.value.signal == number
    assert tidied == [True]


@each_signal
@pytest.mark.parametrize("outer", [False, True], ids=["alone", "inside interrupting"])
def test_noticed_waits_for_the_end_of_a_step_and_a_second_signal_does_not(number, outer):
    def work() -> None:
        with noticed() as received:
            assert received == []
            send(number)
            assert received == [number]
            with pytest.raises(Interrupted):
                send(number)

    if outer:
        with interrupting():
            work()
            with pytest.raises(Interrupted):  # the outer one is back
                send(number)
    else:
        work()


@each_signal
@pytest.mark.parametrize("manager", [interrupting, noticed])
@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_what_the_user_set_is_left_alone(number, manager, own):
    before = signal.signal(number, own)
    try:
        with manager():
            assert signal.getsignal(number) is own
            send(number)
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("manager", [interrupting, noticed])
def test_other_threads_have_no_signals_and_need_none(manager):
    seen = []

    def work() -> None:
        with manager():
            seen.extend(map(signal.getsignal, ENDING))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [*map(signal.getsignal, ENDING)]


@pytest.mark.parametrize("manager", [interrupting, noticed])
def test_an_error_inside_comes_out_as_it_is(manager):
    with pytest.raises(ZeroDivisionError), manager():
        raise ZeroDivisionError
