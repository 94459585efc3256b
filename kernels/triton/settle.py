"""The end of a round: the equilibrium where all points are at hand, else what moves the corners, and the box they
span.

The equilibrium's four numbers come from exact sums. Price, threshold and share are quotients of whole numbers, rounded
once but for what division.py says; the value is computed by a fixed sequence of float64 operations:

    slope = advantage * 2.0**-24, advantage = priced_advantage + full_advantage + full * 2**24 - spend,
        spend = twice the mistakes in 2**-24
    between two gains: threshold = slope / width, price = rest / width, share = 0
        where width = priced_width * 2.0**-38, rest = budget - saturated - full
    on a gain: price and threshold are multiples of the grid; share = left / on, both in 2**-62
    value = ((threshold * rest + saturated_value) - full_gain) + price * (slope - threshold * width)
"""

from __future__ import annotations

import triton
import triton.language as tl

from .division import ratio
from .game import FULL_GAIN, HALF_MASK, HALF_SHIFT, LINE, VALUE_HIGH, VALUE_LOW, VALUE_SHIFT, width_units
from .solver import (
    BOXES,
    DEVIATIONS,
    DONE,
    FEW,
    GRID_UNIT,
    HALF_ONE,
    MISSED,
    MOVES,
    POINTS,
    PRICE_ONE,
    SAMPLED,
    SIZES,
    SLOPE_UNIT,
    SOLVED,
    SPEND,
    WIDTH_UNIT,
    amount_left,
    around,
    base_sums,
    carried,
    load_box,
    load_pieces,
    load_points,
    moved,
    not_negative,
    real,
)


@triton.jit
def spread(
    gain, correctness, size, sampled, price, theta, SAMPLE: tl.constexpr, SAMPLE_BITS: tl.constexpr, BLOCK: tl.constexpr
):
    """Standard errors of the budget and of twice the mistakes at an equilibrium read off the sample."""
    q_sum, q_square = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    r_sum, r_square = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    q_most, r_most = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    start = tl.cast(0, tl.int32)
    while start < SAMPLE:
        g, a, valid = load_points(gain, correctness, start + tl.arange(0, BLOCK), size, SAMPLE, SAMPLE_BITS)
        width = width_units(g).to(tl.float64) * WIDTH_UNIT
        gains, advantage = g.to(tl.float64) * GRID_UNIT, a.to(tl.float64) * GRID_UNIT
        cap = tl.where(gains <= price, 1.0, price * width)
        first, second = valid & (gains * advantage > theta), valid & (-gains > theta)
        q = tl.where(first, cap, 0.0) + tl.where(second, 1.0 - cap, 0.0)
        reaction = tl.where(second, advantage + 1.0, advantage - theta * width)
        reaction = tl.where(first & (gains > price), reaction, 0.0)
        q_sum += q
        q_square += q * q
        r_sum += reaction
        r_square += reaction * reaction
        q_most = tl.maximum(q_most, q)
        r_most = tl.maximum(r_most, reaction)
        start += BLOCK
    n = tl.maximum(sampled, 1).to(tl.float64)
    q_total, r_total = tl.sum(q_sum, 0), tl.sum(r_sum, 0)
    fill_error = tl.sqrt(tl.maximum(tl.sum(q_square, 0) - q_total * q_total / n, 0.0))
    slope_error = tl.sqrt(tl.maximum(tl.sum(r_square, 0) - r_total * r_total / n, 0.0))
    # One point more or less, the heaviest: a spread of zero would leave out points that merely tie with the middle.
    q_one, r_one = tl.max(q_most, 0), tl.max(r_most, 0)
    return fill_error + tl.where(q_one > 0.0, q_one, 1.0), slope_error + tl.where(r_one > 0.0, r_one, 1.0)


@triton.jit
def fixed_point(
    state, answer, account, slopes, widths, marks, advantages, pieces, floor, corner, exact, part, BLOCK: tl.constexpr
):
    """Dinkelbach's fixed point between two gains, from the pieces before the first whose slope the threshold reaches.

    Returns their points with q = 1, advantage and width; decided points are in the last two if ``exact``.
    """
    _whole, base_advantage, base_high, base_low = base_sums(account)
    base_advantage -= tl.load(state + SPEND)
    _more_budget, more = moved(answer, corner)
    count = tl.cast(0, tl.int64)
    advantage, high, low = count, count, count
    if exact:
        advantage, high, low = base_advantage, base_high, base_low
    start = tl.cast(0, tl.int32)
    go = pieces > 0
    while go:
        lanes = start + tl.arange(0, BLOCK)
        live, is_first, g, slope, width, a = load_pieces(slopes, widths, marks, advantages, lanes, pieces)
        free = live & (g > floor)
        counted = (live & (is_first != (g > floor))).to(tl.int64)
        signed = tl.where(free, tl.where(is_first, width, -width), 0)
        gained = tl.where(free, tl.where(is_first, a, PRICE_ONE), 0)
        signed_high, signed_low = signed >> HALF_SHIFT, signed & HALF_MASK
        before_count = count + tl.cumsum(counted, 0) - counted
        before = advantage + tl.cumsum(gained, 0) - gained
        before_high = high + tl.cumsum(signed_high, 0) - signed_high
        before_low = low + tl.cumsum(signed_low, 0) - signed_low
        h, low_half = carried(before_high, before_low)
        if exact:
            found = not_negative(before, slope, h, low_half)
        else:
            all_width = (real(h, low_half) + real(base_high, base_low) * part) * WIDTH_UNIT
            all_gained = (before.to(tl.float64) + base_advantage.to(tl.float64) * part) * GRID_UNIT
            found = all_gained - more - slope.to(tl.float64) * SLOPE_UNIT * all_width >= 0.0
        at = tl.min(tl.where(live & found, lanes, pieces), 0)
        here = lanes == at
        if at < pieces:
            count = tl.sum(tl.where(here, before_count, 0), 0)
            advantage = tl.sum(tl.where(here, before, 0), 0)
            high = tl.sum(tl.where(here, before_high, 0), 0)
            low = tl.sum(tl.where(here, before_low, 0), 0)
            go = pieces < 0
        else:
            count += tl.sum(counted, 0)
            advantage += tl.sum(gained, 0)
            high += tl.sum(signed_high, 0)
            low += tl.sum(signed_low, 0)
            start += BLOCK
            go = start < pieces
    return count, advantage, high, low


@triton.jit(do_not_specialize=["budget", "turn", "first_corner"])
def settle_kernel(
    gain, correctness, state, answer, account, budget: tl.int64, slopes, widths, marks, advantages, kinks, rises,
    thresholds, spots, turn: tl.int32, first_corner: tl.int32,
    SAMPLE: tl.constexpr, SAMPLE_BITS: tl.constexpr, FAN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The equilibrium, or where the sample's middle (corner 0) or its corners have theirs: a box each, in ``spots``."""
    size = tl.load(state + SIZES + 2 * turn)
    if (tl.load(state + DONE) == 0) & ((first_corner == 0) | (size > SAMPLE)):
        corner = first_corner + tl.program_id(0)
        exact = size <= SAMPLE
        part = 1.0 / size.to(tl.float64) * SAMPLE
        sampled = tl.load(state + SAMPLED).to(tl.int32)
        price_low, price_high, threshold_low, threshold_high = load_box(state, turn)
        pieces = tl.where(threshold_low < 0, 2 * sampled, sampled)
        lowest, floor, ceiling, on_gain, threshold = around(
            rises + corner * 3 * FAN, thresholds + corner * 2 * FAN, kinks, sampled, price_low, price_high, FAN
        )
        theta = threshold.to(tl.float64) * SLOPE_UNIT
        price = ceiling.to(tl.float64) * GRID_UNIT
        at_end = (price_low == 0) | (price_low == PRICE_ONE)
        inside = (lowest & at_end) | ((lowest == 0) & ((ceiling < price_high) | (ceiling == PRICE_ONE)))
        if on_gain == 0:
            count, advantage, high, low = fixed_point(
                state, answer, account, slopes, widths, marks, advantages, pieces, floor, corner, exact, part, BLOCK
            )
            high, low = carried(high, low)
            width = real(high, low) * WIDTH_UNIT
            gained = advantage.to(tl.float64) * GRID_UNIT
            if exact == 0:
                _whole, base_advantage, base_high, base_low = base_sums(account)
                _more_budget, more = moved(answer, corner)
                width += real(base_high, base_low) * WIDTH_UNIT * part
                gained += (base_advantage - tl.load(state + SPEND)).to(tl.float64) * GRID_UNIT * part - more
            on_gain = width <= 0.0  # no point is priced: where the slope is zero all these prices are as good
            if width > 0.0:
                theta = gained / width
                price = (amount_left(answer, account, budget, corner, part) - count.to(tl.float64)) / width
                inside = (theta >= threshold_low.to(tl.float64) * SLOPE_UNIT) & (
                    theta <= threshold_high.to(tl.float64) * SLOPE_UNIT
                )
        if exact:
            if on_gain:
                floor = ceiling
            finish(
                state, answer, account, budget, slopes, widths, marks, advantages, pieces, floor, theta, on_gain,
                inside, turn, BLOCK,
            )  # fmt: skip
        else:
            # Between two gains every price decides the same; on one, the gains beside it are left undecided.
            spot = spots + 4 * corner
            tl.store(spot, tl.where(on_gain, ceiling - 1, floor))
            tl.store(spot + 1, tl.where(on_gain, ceiling + 1, ceiling - 1))
            units = theta * (1.0 / SLOPE_UNIT)
            tl.store(spot + 2, tl.floor(units).to(tl.int64))
            tl.store(spot + 3, tl.ceil(units).to(tl.int64))
            if first_corner == 0:
                fill_error, slope_error = spread(
                    gain, correctness, size, sampled, price, theta, SAMPLE, SAMPLE_BITS, BLOCK
                )
                tl.store(answer + MOVES, fill_error * DEVIATIONS)
                tl.store(answer + MOVES + 1, slope_error * DEVIATIONS)


@triton.jit
def finish(
    state, answer, account, budget, slopes, widths, marks, advantages, pieces, price, theta, on_gain, inside,
    turn, BLOCK: tl.constexpr,
):  # fmt: skip
    """The equilibrium from exact sums over the pieces that pay more than ``theta``, and over those that pay just it."""
    none = tl.zeros((BLOCK,), tl.int64)
    saturated, full, value, gains, gained, high, low = none, none, none, none, none, none, none
    on_whole, on_high, on_low = none, none, none
    start = tl.cast(0, tl.int32)
    while start < pieces:
        lanes = start + tl.arange(0, BLOCK)
        live, is_first, g, slope, width, a = load_pieces(slopes, widths, marks, advantages, lanes, pieces)
        pays = slope.to(tl.float64) * SLOPE_UNIT
        taken, on = live & (pays > theta), live & (pays == theta)
        free = g > price
        saturating, second = is_first & (free == 0), (is_first == 0) & free
        signed = tl.where(free, tl.where(is_first, width, -width), 0)
        saturated += (taken & saturating).to(tl.int64)
        full += (taken & second).to(tl.int64)
        value += tl.where(taken & saturating, slope, 0)
        gains += tl.where(taken & second, g, 0)
        gained += tl.where(taken & free, tl.where(is_first, a, PRICE_ONE), 0)
        high += tl.where(taken, signed >> HALF_SHIFT, 0)
        low += tl.where(taken, signed & HALF_MASK, 0)
        on_whole += (on & (saturating | second)).to(tl.int64)
        on_high += tl.where(on, signed >> HALF_SHIFT, 0)
        on_low += tl.where(on, signed & HALF_MASK, 0)
        start += BLOCK
    whole, advantage, base_high, base_low = base_sums(account)
    whole += tl.sum(saturated, 0) + tl.sum(full, 0)
    advantage += tl.sum(gained, 0) - tl.load(state + SPEND)
    width_high, width_low = carried(base_high + tl.sum(high, 0), base_low + tl.sum(low, 0))
    value_high = tl.load(account + VALUE_HIGH * LINE)
    value_low = tl.load(account + VALUE_LOW * LINE) + tl.sum(value, 0)
    value_high += value_low >> VALUE_SHIFT
    value_low = value_low & 0xFFFFFF
    full_gain = tl.load(account + FULL_GAIN * LINE) + tl.sum(gains, 0)

    rest = budget - (whole << HALF_SHIFT)
    width = real(width_high, width_low) * WIDTH_UNIT
    slope, amount = advantage.to(tl.float64) * GRID_UNIT, rest.to(tl.float64) * (1.0 / HALF_ONE)
    threshold = theta
    cost = price.to(tl.float64) * GRID_UNIT
    share = theta * 0.0
    box = state + BOXES + 4 * turn
    if on_gain:
        left_high, left_low = carried(rest - price * width_high, -price * width_low)
        some_high, some_low = carried(
            (tl.sum(on_whole, 0) << HALF_SHIFT) + price * tl.sum(on_high, 0), price * tl.sum(on_low, 0)
        )
        fits = (left_high < some_high) | ((left_high == some_high) & (left_low <= some_low))
        inside = inside & (left_high >= 0) & fits
        low_end, high_end = tl.load(box + 2).to(tl.float64), tl.load(box + 3).to(tl.float64)
        inside = inside & (theta >= low_end * SLOPE_UNIT) & (theta <= high_end * SLOPE_UNIT)
        held = real(some_high, some_low) > 0.0
        share = tl.where(held, ratio(left_high, left_low, some_high, some_low), 0.0)
    else:
        inside = inside & (width > 0.0)
        threshold = ratio(advantage >> HALF_SHIFT, advantage & HALF_MASK, width_high, width_low) * 16384.0
        cost = ratio(rest, rest * 0, width_high, width_low) * GRID_UNIT
    saturated_value = (value_high.to(tl.float64) * 16777216.0 + value_low.to(tl.float64)) * SLOPE_UNIT
    worth = threshold * amount + saturated_value - full_gain.to(tl.float64) * GRID_UNIT
    worth += cost * (slope - threshold * width)
    tl.store(answer, cost)
    tl.store(answer + 1, threshold)
    tl.store(answer + 2, share)
    tl.store(answer + 3, worth)
    outcome = tl.where(inside, SOLVED, MISSED)
    outcome = tl.where((tl.load(state + POINTS) << HALF_SHIFT) < budget, FEW, outcome)
    tl.store(state + DONE, outcome.to(tl.int64))


@triton.jit(do_not_specialize=["turn"])
def narrow_kernel(state, spots, turn: tl.int32, CORNERS: tl.constexpr, SAMPLE: tl.constexpr):
    """The next round's box: around the middle's and the corners'."""
    if (tl.load(state + DONE) == 0) & (tl.load(state + SIZES + 2 * turn) > SAMPLE):
        price_low, price_high, threshold_low, threshold_high = load_box(state, turn)
        low, high, lowest, highest = tl.load(spots), tl.load(spots + 1), tl.load(spots + 2), tl.load(spots + 3)
        for corner in tl.static_range(1, 1 + CORNERS):
            spot = spots + 4 * corner
            low, high = tl.minimum(low, tl.load(spot)), tl.maximum(high, tl.load(spot + 1))
            lowest, highest = tl.minimum(lowest, tl.load(spot + 2)), tl.maximum(highest, tl.load(spot + 3))
        box = state + BOXES + 4 * (turn + 1)
        low = tl.minimum(tl.maximum(low, price_low), price_high)
        tl.store(box, low)
        tl.store(box + 1, tl.maximum(tl.minimum(high, price_high), low))
        # Undecided points can have slopes outside the box; only what lies inside it is consistent with the sums so far.
        tl.store(box + 2, tl.minimum(tl.maximum(lowest, threshold_low), threshold_high))
        tl.store(box + 3, tl.maximum(tl.minimum(highest, threshold_high), threshold_low))
