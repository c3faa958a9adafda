"""Training leaves a core to others, and the process as it was."""

import pytest
import torch

from vae_lib import threads


@pytest.fixture
def threads_at_work(monkeypatch):
    """How many threads compute inside, of so many, on so many cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def count(before, cores):
        now = torch.get_num_threads()
        monkeypatch.setattr(threads, "n_cores", lambda: cores)
        torch.set_num_threads(before)
        try:
            with threads.leave_a_core():
                inside = torch.get_num_threads()
            assert torch.get_num_threads() == before
        finally:
            torch.set_num_threads(now)
        return inside

    return count


@pytest.mark.parametrize(
    "before, cores, inside",
    [(2, 2, 1), (1, 1, 1), (4, 4, 3), (2, 8, 2), (8, 4, 3), (4, 8, 4)],
)
def test_one_core_stays_free_where_there_are_several(
    threads_at_work, before, cores, inside
):
    assert threads_at_work(before, cores) == inside


def test_who_chooses_the_number_of_threads_has_it(threads_at_work, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_at_work(2, 2) == 2


def test_the_number_is_put_back_after_an_error(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads.leave_a_core():
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_core_is_counted_at_least():
    assert threads.n_cores() >= 1
