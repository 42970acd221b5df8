"""What the account of a step puts where."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from tests import bench_account, product_rate
from tests.bench_account import ELSE, OF_INPUT, OF_WEIGHTS, OPTIMISER, OUTPUT, Account, Product

EVENTS = [
    ("aten::addmm", [[30], [8, 50], [50, 30], [], []], 1.0, 20.0),
    ("aten::mm", [[8, 30], [30, 50]], 1.0, 10.0),
    ("aten::mm", [[30, 8], [8, 50]], 0.2, 30.0),
    ("aten::addmm", [[30, 50], [30, 16], [16, 50], [], [], [30, 50]], 0.5, 8.0),
    ("mkldnn::_linear_pointwise", [[30, 16], [50, 16], [], []], 1.0, 5.0),
    ("aten::_fused_adam_", [[]], 1.0, 7.0),
    ("aten::relu", [[8, 30]], 2.0, 3.0),
    ("graph_0_cpp_fused_relu_0", [[]], 1.0, 4.0),
    ("autograd::engine::evaluate_function: AddmmBackward0", [[]], 1.0, 9.0),
]


def test_operations_count_where_they_belong():
    parts, products = bench_account._sorted(iter(EVENTS), 8)
    assert parts == pytest.approx({OUTPUT: 20, OF_INPUT: 10, OF_WEIGHTS: 15, ELSE: 10, OPTIMISER: 7})
    found = {(product.kind, product.n, product.k, product.m, product.times) for product in products}
    assert found == {
        (OUTPUT, 8, 50, 30, 1), (OF_INPUT, 8, 30, 50, 1), (OF_WEIGHTS, 30, 8, 50, 0.2), (OF_WEIGHTS, 30, 16, 50, 1),
        (OF_WEIGHTS, 30, 16, 50, 0.5),
    }  # fmt: skip


def test_a_product_s_rate_is_of_one_at_least_however_late_it_is(monkeypatch):
    """The clock has jumped past the end when the first one is over, where others have the cores."""
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(product_rate, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert product_rate.rate(lambda: None, 20) == 2.0


def test_the_bound_is_of_the_faster_library_s_products_and_the_updates():
    products = [Product(OUTPUT, 100, 100, 100, 2.0, 9.0, 4.0, 3.0), Product(OUTPUT, 100, 100, 50, 1.0, 9.0, 4.0)]
    found = Account(50.0, {}, products, 1e12, 5.0, 8, False, 1)
    assert found.operations == pytest.approx(5e6)
    assert found.ideal == pytest.approx(5.0)
    assert found.bound == pytest.approx(5.0 / (2 * 3 + 4 + 5))
