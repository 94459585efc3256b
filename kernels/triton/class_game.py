"""Games of few points, each by one program or a row of it: no memory beside the points, no host. Those of many classes
are played at once.

The search is that of rad_fast/game/search.py, which says what is sought and why each probe moves a bound; here every
probe is a pass over the class's points. Where the fixed-point iteration does not halve a bound, a bound moves to what
one of the undecided points says, drawn by a hash, where the host takes a median. All decisions are on integers, so that
both end at the same price and threshold, and from the same sums; the answer's numbers are rounded as division.py says.

Bytes: 8 n for each probe of a class of n points, and for each look for such a point; from L2 where classes are small.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .division import ratio
from .game import GRID_SHIFT, HALF_MASK, HALF_SHIFT, VALUE_MASK, VALUE_SHIFT, grid_units, width_units
from .solver import (
    FEW,
    GRID_UNIT,
    MISSED,
    PRICE_ONE,
    SLOPE_ONE,
    SLOPE_UNIT,
    SOLVED,
    WIDTH_UNIT,
    carried,
    not_negative,
    real,
)

END = tl.constexpr(1 << 25)  # the step of the price 1 seen from above
MOST_PROBES = tl.constexpr(400)  # ten times what games need
NOWHERE = tl.constexpr(2**63 - 1)
DRAWN_SHIFT = tl.constexpr(50)  # bits of a slope
DRAWN_MASK = tl.constexpr((1 << 50) - 1)

# What a game is given, int64, and where it is to go: a column each.
CLASS = tl.constexpr(0)
START = tl.constexpr(1)
SIZE = tl.constexpr(2)
BUDGET = tl.constexpr(3)  # 2^-31
SPEND = tl.constexpr(4)  # twice the mistakes, 2^-24


@triton.jit
def points_at(gain, correctness, start, size, begin, BLOCK: tl.constexpr):
    """A tile of each row's points: gain, advantage, what both pieces pay, and whether there is a point that plays."""
    lane = begin + tl.arange(0, BLOCK).to(tl.int64)
    inside = lane[None, :] < size[:, None]
    at = start[:, None] + lane[None, :]
    gains = tl.load(gain + at, mask=inside, other=float("nan"))
    inside = gains == gains
    g, a = grid_units(gains, tl.load(correctness + at, mask=inside, other=0.0))
    return g, a, a.to(tl.int64) * g.to(tl.int64), -(g.to(tl.int64) << GRID_SHIFT), inside


@triton.jit
def drawn(gain, correctness, start, size, low, high, bottom, top, turn, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """A gain between the steps and a slope between the thresholds, of points drawn by a hash; NOWHERE if there is none.

    The hash stands above the number, so that the least of all is of the point whose hash is the least.
    """
    gains, slopes = tl.full((ROWS, BLOCK), NOWHERE, tl.int64), tl.full((ROWS, BLOCK), NOWHERE, tl.int64)
    begin = tl.cast(0, tl.int64)
    longest = tl.max(size, 0)
    while begin < longest:
        g, _a, d, minus, inside = points_at(gain, correctness, start, size, begin, BLOCK)
        lane = begin + tl.arange(0, BLOCK).to(tl.int64) + turn * 7919
        luck = (((lane * 2654435761) >> 11) & 0x1FFF)[None, :]
        twice = 2 * g.to(tl.int64)
        here = inside & (twice > low[:, None]) & (twice <= high[:, None])
        gains = tl.minimum(gains, tl.where(here, (luck << DRAWN_SHIFT) + g, NOWHERE))
        here = inside & (d > bottom[:, None]) & (d < top[:, None])
        slopes = tl.minimum(slopes, tl.where(here, (luck << DRAWN_SHIFT) + (d + SLOPE_ONE), NOWHERE))
        here = inside & (minus > bottom[:, None]) & (minus < top[:, None])
        luck = luck ^ 0x1555
        slopes = tl.minimum(slopes, tl.where(here, (luck << DRAWN_SHIFT) + (minus + SLOPE_ONE), NOWHERE))
        begin += BLOCK
    a_gain, a_slope = tl.min(gains, 1), tl.min(slopes, 1)
    a_gain = tl.where(a_gain == NOWHERE, a_gain, a_gain & DRAWN_MASK)
    return a_gain, tl.where(a_slope == NOWHERE, a_slope, (a_slope & DRAWN_MASK) - SLOPE_ONE)


@triton.jit
def probed(gain, correctness, start, size, floor, t, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Sums over the pieces that pay more than ``t``, gains up to ``floor`` saturated: points with q = 1, reaction, and
    width in two halves."""
    none = tl.zeros((ROWS, BLOCK), tl.int64)
    count, react, high, low = none, none, none, none
    begin = tl.cast(0, tl.int64)
    longest = tl.max(size, 0)
    while begin < longest:
        g, a, d, minus, inside = points_at(gain, correctness, start, size, begin, BLOCK)
        free = inside & (g > floor[:, None])
        first, second = inside & (d > t[:, None]), free & (minus > t[:, None])
        priced = first & free & (second == 0)
        count += ((first & (free == 0)) | second).to(tl.int64)
        react += tl.where(priced | second, a, 0) + tl.where(second, PRICE_ONE, 0)
        width = tl.where(priced, width_units(g), 0)
        high += width >> HALF_SHIFT
        low += width & HALF_MASK
        begin += BLOCK
    wide, narrow = carried(tl.sum(high, 1), tl.sum(low, 1))
    return tl.sum(count, 1), tl.sum(react, 1), wide, narrow


@triton.jit(do_not_specialize=["games"])
def class_game_kernel(
    gain, correctness, jobs, games: tl.int64, answers, outcomes, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Price, threshold, share and value of each game, and whether it was solved."""
    game = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = game < games
    column = jobs + game
    start = tl.load(column + START * games, mask=live, other=0)
    size = tl.load(column + SIZE * games, mask=live, other=0)
    budget = tl.load(column + BUDGET * games, mask=live, other=0)
    spend = tl.load(column + SPEND * games, mask=live, other=0)
    out = tl.load(column + CLASS * games, mask=live, other=0)
    solved = played(gain, correctness, start, size, budget, spend, live & (size > 0), answers + 4 * out, ROWS, BLOCK)
    tl.store(outcomes + out, tl.where(solved, SOLVED, MISSED).to(tl.int64), mask=live)


@triton.jit(do_not_specialize=["points", "budget", "spend", "rate_bits"])
def small_game_kernel(
    gain, correctness, points: tl.int64, budget: tl.int64, spend: tl.int64, rate_bits: tl.int64, answer, outcome,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One game of few points: the answer, and the outcome and how many points are not left out."""
    valid = tl.zeros((BLOCK,), tl.int32)
    begin = tl.cast(0, tl.int64)
    while begin < points:
        at = begin + tl.arange(0, BLOCK)
        gains = tl.load(gain + at, mask=at < points, other=float("nan"))
        valid += (gains == gains).to(tl.int32)
        begin += BLOCK
    count = tl.sum(valid, 0).to(tl.int64)
    rate = tl.cast(rate_bits, tl.int64).to(tl.float64, bitcast=True)
    more = tl.floor(rate * count.to(tl.float64) * 33554432.0 + 0.5).to(tl.int64)
    most = (2 * count + 2) << (GRID_SHIFT + 1)  # more mistakes change nothing: the price is 0 then
    row = tl.zeros((1,), tl.int64)
    enough = (count << HALF_SHIFT) >= budget
    solved = played(
        gain, correctness, row, row + tl.cast(points, tl.int64), row + tl.cast(budget, tl.int64),
        row + tl.minimum(tl.cast(spend, tl.int64) + more, most), (row == 0) & enough, answer + row, 1, BLOCK,
    )  # fmt: skip
    state = tl.where(enough, tl.where(solved, SOLVED, MISSED), FEW).to(tl.int64)
    tl.store(outcome + row, state)
    tl.store(outcome + 1 + row, row + count)


@triton.jit
def played(gain, correctness, start, size, budget, spend, todo, answer, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Plays the games of the rows that are ``todo``, a row each; which were solved."""
    all_solved = tl.zeros((ROWS,), tl.int1)
    ceiling_before = tl.zeros((ROWS,), tl.int64)
    attempts = tl.cast(0, tl.int32)
    while (attempts < 2) & (tl.max(todo.to(tl.int32), 0) > 0):
        # Without mistakes the price is 1: the value's slope is never negative. The second attempt is at the price that
        # the first has found: where a set of pieces holds just the budget, rounded widths can contradict one another.
        low = tl.where(spend == 0, END - 1, -1).to(tl.int64)
        low = tl.where(attempts == 0, low, 2 * ceiling_before - 1)
        high = tl.where(attempts == 0, END, 2 * ceiling_before).to(tl.int64)
        bottom, top = tl.full((ROWS,), -SLOPE_ONE - 1, tl.int64), tl.full((ROWS,), SLOPE_ONE, tl.int64)
        step, threshold = tl.maximum(low, 0), tl.zeros((ROWS,), tl.int64)
        halving = tl.zeros((ROWS,), tl.int1)  # by a point that is drawn; else by the iteration
        between = tl.zeros((ROWS,), tl.int1)  # two gains: the threshold alone is left
        # A probe at ``bottom`` is to come, where two neighbouring thresholds are left.
        pending = tl.zeros((ROWS,), tl.int1)
        done, found, at_gain = todo == 0, tl.zeros((ROWS,), tl.int1), tl.zeros((ROWS,), tl.int1)
        last_u, spot_floor, spot_ceiling, spot = low, low, low, low
        probes = tl.cast(0, tl.int32)
        while (tl.min(done.to(tl.int32), 0) == 0) & (probes < MOST_PROBES):
            probes += 1
            pinned = (high - low == 1) & ((low & 1) == 1)  # to the gain high / 2: the fill is left
            a_gain, a_slope = high * 0, high * 0
            look = (halving | pinned) & (done == 0)
            if tl.max(look.to(tl.int32), 0) > 0:
                looked_at = tl.where(look, size, 0)
                a_gain, a_slope = drawn(
                    gain, correctness, start, looked_at, low, high, bottom, top, probes, ROWS, BLOCK
                )
                between = between | (look & (pinned == 0) & (low >= 0) & ((high & 1) == 1) & (a_gain == NOWHERE))
                bottom = tl.where(pinned & (a_slope == NOWHERE), top - 1, bottom)
            between = between | ((high - low == 1) & (pinned == 0))
            fixed = pinned | between
            closed = fixed & (top - bottom == 1) & (done == 0)
            u = tl.where(a_gain == NOWHERE, tl.where(low >= 0, high - 1, 0), 2 * a_gain)
            u = tl.where(halving, tl.where(u < high, u, u - 1), step)
            u = tl.where(pinned, high, tl.where(between, high - 1, tl.minimum(tl.maximum(u, low + 1), high - 1)))
            u = tl.where(pending, last_u, u)
            t = tl.where(a_slope == NOWHERE, (bottom + top) >> 1, a_slope)
            t = tl.where(look, t, threshold)
            t = tl.where(top - bottom > 1, tl.minimum(tl.maximum(t, bottom + 1), top - 1), top)
            t = tl.where(pending, bottom, t)
            # A search that is over reads nothing more.
            read = tl.where(done | closed, 0, size)
            count, react, wide, narrow = probed(gain, correctness, start, read, u >> 1, t, ROWS, BLOCK)
            surplus, left = react - spend, budget - (count << HALF_SHIFT)
            floor = tl.where(between, tl.maximum(low, 0) >> 1, u >> 1)
            ceiling = tl.where(between, (high + 1) >> 1, floor + 1)
            covers = left <= multiple(wide, narrow, (u + 1) >> 1)
            rises = not_negative(surplus, t, wide, narrow)
            here = (left > multiple(wide, narrow, floor)) & (left <= multiple(wide, narrow, ceiling))
            here = here & rises & (not_negative(surplus, t + 1, wide, narrow) == 0)
            here = here & (pinned == 0) & (pending == 0) & (closed == 0) & (done == 0)

            at_gain = tl.where(closed, pinned, at_gain)
            spot_floor = tl.where(closed & pinned, high >> 1, tl.where(here | closed, floor, spot_floor))
            spot_ceiling = tl.where(closed, (high + 1) >> 1, tl.where(here, ceiling, spot_ceiling))
            spot = tl.where(here, t, tl.where(closed, tl.where(pinned, top, bottom), spot))
            done = done | here | closed
            found = found | here | closed

            # What the two answers say of the bounds; of two thresholds that are neighbours the lower is probed as well.
            apart = (covers != rises) & (fixed == 0)
            neighbours = (fixed == 0) & (covers == rises) & (top - bottom == 1) & (pending == 0)
            by_price = apart | pending
            by_slope = (fixed | (covers == rises)) & (neighbours == 0) & (pending == 0)
            upwards = tl.where(pending, covers == 0, rises)
            raises = tl.where(pinned, covers, rises)
            prices, slopes = high - low, top - bottom
            low, high = tl.where(by_price & upwards, u, low), tl.where(by_price & (upwards == 0), u, high)
            bottom, top = tl.where(by_slope & raises, t, bottom), tl.where(by_slope & (raises == 0), t, top)

            halved = (2 * (high - low) <= prices) | (2 * (top - bottom) <= slopes)
            away = (threshold <= bottom) | (threshold >= top) | ((between == 0) & ((step <= low) | (step >= high)))
            width = real(wide, narrow)
            moves = (width > 0.0) & (left > 0) & (pinned == 0) & (away | (halving == 0)) & (neighbours == 0)
            divisor = tl.where(width > 0.0, width, 1.0)
            next_step = tl.minimum(real(left, left * 0) / divisor, 33554432.0).to(tl.int64) * 2
            next_threshold = tl.floor(surplus.to(tl.float64) * 4611686018427387904.0 / divisor)
            next_threshold = tl.minimum(tl.maximum(next_threshold, -281474976710656.0), 281474976710656.0).to(tl.int64)
            step = tl.where(moves, next_step, step)
            threshold = tl.where(moves, next_threshold, threshold)
            halving = tl.where(neighbours, halving, (halved == 0) & (halving == 0))
            pending, last_u = neighbours, u
        solved = settled(
            gain, correctness, start, size, budget, spend, at_gain, spot_floor, spot_ceiling, spot, found, todo,
            answer, ROWS, BLOCK,
        )  # fmt: skip
        all_solved = all_solved | (solved & todo)
        todo = todo & found & (solved == 0)
        ceiling_before = spot_ceiling
        attempts += 1
    return all_solved


@triton.jit
def settled(
    gain, correctness, start, size, budget, spend, at_gain, floor, ceiling, spot, found, live, answer,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The four numbers, from exact sums over the pieces that pay more than the spot and those that pay just it."""
    none = tl.zeros((ROWS, BLOCK), tl.int64)
    saturated, full, value_high, value_low, gains, gained, high, low = none, none, none, none, none, none, none, none
    on_whole, on_high, on_low = none, none, none
    begin = tl.cast(0, tl.int64)
    size = tl.where(found, size, 0)
    longest = tl.max(size, 0)
    t, above = spot[:, None], floor[:, None]
    while begin < longest:
        g, a, d, minus, inside = points_at(gain, correctness, start, size, begin, BLOCK)
        free = inside & (g > above)
        first, second = inside & (d > t), free & (minus > t)
        whole, priced = first & (free == 0), first & free & (second == 0)
        saturated += whole.to(tl.int64)
        full += second.to(tl.int64)
        value_high += tl.where(whole, d >> VALUE_SHIFT, 0)
        value_low += tl.where(whole, d & VALUE_MASK, 0)
        gains += tl.where(second, g, 0)
        gained += tl.where(priced | second, a, 0) + tl.where(second, PRICE_ONE, 0)
        width = width_units(g)
        high += tl.where(priced, width >> HALF_SHIFT, 0)
        low += tl.where(priced, width & HALF_MASK, 0)
        tied, second_tied = inside & (d == t), free & (minus == t)
        on_whole += (tied & (free == 0)).to(tl.int64) + second_tied.to(tl.int64)
        signed = tl.where(tied & free, width, 0) - tl.where(second_tied, width, 0)
        on_high += signed >> HALF_SHIFT
        on_low += signed & HALF_MASK
        begin += BLOCK
    fulls = tl.sum(full, 1)
    rest = budget - ((tl.sum(saturated, 1) + fulls) << HALF_SHIFT)
    surplus = tl.sum(gained, 1) - spend
    wide, narrow = carried(tl.sum(high, 1), tl.sum(low, 1))

    zero = rest * 0
    # Between two gains: the price that fills the budget, and the threshold where the slope is zero.
    holds = not_negative(surplus, spot, wide, narrow) & (not_negative(surplus, spot + 1, wide, narrow) == 0)
    holds = holds & (rest > multiple(wide, narrow, floor)) & (rest <= multiple(wide, narrow, ceiling))
    price = ratio(rest, zero, wide, narrow) * GRID_UNIT
    threshold = ratio(surplus >> HALF_SHIFT, surplus & HALF_MASK, wide, narrow) * 16384.0
    beyond = (spot + 1).to(tl.float64) * SLOPE_UNIT
    threshold = tl.where(threshold >= beyond, before(beyond), threshold)

    # At a gain: pieces on the threshold share what is left of the budget.
    left_high, left_low = carried(rest - ceiling * wide, -ceiling * narrow)
    some_high, some_low = carried(
        (tl.sum(on_whole, 1) << HALF_SHIFT) + ceiling * tl.sum(on_high, 1), ceiling * tl.sum(on_low, 1)
    )
    fits = (left_high < some_high) | ((left_high == some_high) & (left_low <= some_low))
    fits = fits & ((left_high > 0) | ((left_high == 0) & (left_low > 0)))
    share = ratio(left_high, left_low, some_high, some_low)

    price = tl.where(at_gain, ceiling.to(tl.float64) * GRID_UNIT, price)
    threshold = tl.where(at_gain, spot.to(tl.float64) * SLOPE_UNIT, threshold)
    share = tl.where(at_gain, share, 0.0)
    amount = rest.to(tl.float64) * (1.0 / 2147483648.0)
    sure = tl.sum(value_high, 1).to(tl.float64) * 16777216.0 + tl.sum(value_low, 1).to(tl.float64)
    worth = (threshold * amount + sure * SLOPE_UNIT) - tl.sum(gains, 1).to(tl.float64) * GRID_UNIT
    worth += price * (surplus.to(tl.float64) * GRID_UNIT - threshold * (real(wide, narrow) * WIDTH_UNIT))
    solved = found & tl.where(at_gain, fits, holds)
    tl.store(answer, price, mask=live)
    tl.store(answer + 1, threshold, mask=live)
    tl.store(answer + 2, share, mask=live)
    tl.store(answer + 3, worth, mask=live)
    return solved


@triton.jit
def multiple(high, low, by):
    """How many whole 2^31 there are in (high * 2^31 + low) * by."""
    whole, _rest = carried(high * by, low * by)
    return whole


@triton.jit
def before(x):
    """The float64 before another, which is not 0."""
    bits = x.to(tl.int64, bitcast=True)
    return tl.where(x > 0.0, bits - 1, bits + 1).to(tl.float64, bitcast=True)
