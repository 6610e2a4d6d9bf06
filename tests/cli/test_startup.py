"""What makes the program start and end at once."""

import gc

import pytest

from learngn.cli.startup import importing


@pytest.fixture(autouse=True)
def unfrozen():
    yield
    gc.unfreeze()


def test_no_garbage_is_looked_for_while_importing():
    with importing():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)


def test_a_search_that_was_off_stays_off_and_errors_pass():
    gc.disable()
    try:
        with pytest.raises(ImportError), importing():
            raise ImportError
        assert not gc.isenabled()
    finally:
        gc.enable()
