"""Ways and planes among codes: against what geometry says of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tui_gen.train.offline.explore.geometry import (
    Components,
    along_components,
    along_dimensions,
    slerp,
    through_pins,
    walk,
)

SPANS = ((-3.0, 3.0), (-2.0, 2.0))


def code(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)


@given(st.floats(0.05, 3.0), st.floats(0, 1))
def test_slerp_turns_at_an_even_pace_along_the_circle(angle, t):
    there = slerp(code(1, 0), code(math.cos(angle), math.sin(angle)), torch.tensor([t]))
    assert torch.allclose(there, code(math.cos(t * angle), math.sin(t * angle))[None], atol=1e-5)


def test_slerp_keeps_the_length_of_codes_of_one_length():
    a, b = torch.randn(2, 64, generator=torch.Generator().manual_seed(1))
    b = b * a.norm() / b.norm()
    lengths = slerp(a, b, torch.linspace(0, 1, 9)).norm(dim=1)
    assert torch.allclose(lengths, a.norm().expand(9), rtol=1e-5)
    assert walk([a, b], 8, "lerp").norm(dim=1).min() < 0.9 * a.norm()  # the straight way leads through the inside


@pytest.mark.parametrize("other", [(-2, 0), (2, 0), (0, 0)])
def test_where_there_is_no_arc_slerp_goes_straight(other):
    a, b = code(1, 0), code(*other)
    there = slerp(a, b, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.allclose(there, torch.stack([a, 0.75 * a + 0.25 * b, b]))


@pytest.mark.parametrize("way", ["slerp", "lerp"])
def test_a_walk_passes_every_pin(way):
    pins = list(torch.randn(4, 5, generator=torch.Generator().manual_seed(2)))
    frames = walk(pins, 6, way)
    assert frames.shape == (19, 5)
    assert torch.allclose(frames[::6], torch.stack(pins), atol=1e-6)
    assert torch.equal(walk(pins[:1], 6, way), pins[0][None])


def test_components_are_the_axes_of_a_known_cloud():
    noise = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3)).double()
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double())
    codes = (noise * torch.tensor([5.0, 2.0, 0.5])) @ turn.T + 7
    found = Components.of(codes.float())
    assert torch.allclose(found.mean, code(7, 7, 7), atol=0.3)
    assert torch.allclose(found.deviations, code(5, 2, 0.5), rtol=0.05)
    for number in range(3):
        cosine = found.directions[number].double() @ turn[:, number]
        assert abs(abs(cosine) - 1) < 1e-2
        assert found.directions[number].abs().max() == found.directions[number].max()  # its sign is settled
    plane = along_components(0, 2, found)
    place = plane.place(found.mean[None] + 2 * found.deviations[0] * found.directions[0])
    assert torch.allclose(place, code(2, 0)[None], atol=1e-4)


@given(st.integers(0, 5), st.integers(0, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_moving_along_dimensions_changes_their_numbers_alone(first, second, x, y):
    plane = along_dimensions(first, second, SPANS, 6)
    here = torch.arange(6.0) / 10
    there = plane.move(here, torch.tensor([[x, y]]))[0]
    expected = here.clone()
    expected[first] = x
    if second != first:
        expected[second] = y
    assert torch.allclose(there, expected, atol=1e-5)


def test_a_code_of_one_dimension_has_a_plane_too():
    plane = along_dimensions(0, 0, SPANS, 1)
    assert plane.move(code(0.5), torch.tensor([[2.0, 9.0]])).tolist() == [[2.0]]
    assert plane.place(code(0.5)[None]).tolist() == [[0.5, 0.0]]
    assert through_pins([code(1), code(3)]).move(code(0), torch.tensor([[0.5, 1.0]])).tolist() == [[2.0]]


def test_three_pins_are_the_corners_of_their_plane():
    pins = list(torch.randn(3, 7, generator=torch.Generator().manual_seed(5)))
    plane = through_pins(pins)
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1]])
    assert torch.allclose(plane.move(torch.zeros(7), corners), torch.stack(pins), atol=1e-6)
    assert torch.allclose(plane.place(torch.stack(pins)), corners, atol=1e-5)


def test_two_pins_get_a_second_axis_at_a_right_angle():
    pins = list(torch.randn(2, 7, generator=torch.Generator().manual_seed(6)))
    plane = through_pins(pins)
    assert abs(plane.first @ plane.second) < 1e-4
    assert torch.isclose(plane.first.norm(), plane.second.norm(), rtol=1e-5)
    assert torch.equal(plane.second, through_pins(pins).second)


@pytest.mark.parametrize("pins", [[(1, 2), (1, 2)], [(0, 0), (1, 1), (3, 3)]])
def test_pins_in_one_line_make_no_plane(pins):
    with pytest.raises(ValueError, match="in one line"):
        through_pins([code(*pin) for pin in pins])
