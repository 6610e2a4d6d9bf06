"""One limit of the threads of the CPU, with PyTorch and without."""

import os
import sys

import torch

from learngn.arrays import limit_threads, threads


def test_the_threads_of_pytorch_where_it_is_loaded(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        limit_threads(3)
        assert threads() == torch.get_num_threads() == 3
        assert os.environ["OMP_NUM_THREADS"] == "3", "a process that is started later has the same limit"
    finally:
        torch.set_num_threads(before)


def test_the_limit_holds_without_pytorch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads() == 5
    limit_threads(2)
    assert threads() == 2
    for nothing in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert 1 <= threads() <= (os.cpu_count() or 1)
