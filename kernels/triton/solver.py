"""The equilibrium found on the device: a fixed number of kernels, no wait for the host, an early way out.

The method is that of rad_fast/game/solver.py; what is different suits a GPU. A round takes the points that are still
undecided:

1. ``order``    takes a stratified sample of them (all, where they are few) and sorts the pieces of the sample by slope
                and its points by gain: each program counts, for some points, how many come before. Sorting by counting
                reads the sample once a program and needs no barrier between programs.
2. ``search``   looks for the price: programs try FAN gains spread over the sorted ones, then, in a second launch, the
                gains between the last at which the value still rises and the next.
3. ``settle``   where all points are there: the equilibrium, done. Else the sample's, its standard errors, and
4. ``search`` and ``settle`` again, for budget and mistakes moved both ways by DEVIATIONS of them; ``narrow`` makes
                the box.
5. ``reduce``   (game.py) adds up what the box decides and compacts the rest into the next round's points.

Kernels of a round that is not needed see that at their first load, and leave. Every decision of the last round is
taken in integers (slopes in 2^-48, widths in 2^-38, probabilities in 2^-62, sums in limbs of 31 bits), so that the
answer does not depend on the order of additions; the estimates before it are float64. A box's ends are multiples of
the grid.

What is read besides reduce's 8 bytes a point: SAMPLE points a round, by every program, from L2.

After a fixed number of rounds without an answer (many points alike, or a box that missed) the state says so: the
caller then uses rad_fast.game.solver.solve on a DevicePool.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .game import (
    FULL,
    FULL_ADVANTAGE,
    GRID,
    GRID_SHIFT,
    HALF_MASK,
    HALF_SHIFT,
    LINE,
    PRICED_ADVANTAGE,
    SATURATED,
    VALID,
    WIDTH_HIGH,
    WIDTH_LOW,
    grid_units,
    width_units,
)

# The state: int64 numbers. What a kernel writes in a round, none of its own programs reads: each round has its own.
MOST_ROUNDS = 12
DONE = tl.constexpr(0)  # one of the outcomes below
POINTS = tl.constexpr(1)  # valid points in all; an estimate in the first round
SPEND = tl.constexpr(2)  # twice the mistakes, in 2^-24
SAMPLED = tl.constexpr(3)  # valid points in the sample
SIZES = tl.constexpr(4)  # points at the start of each round, each on 16 bytes: pointers to them compile alike
BOXES = tl.constexpr(32)  # price low, high in 2^-24, threshold low, high in 2^-48, at the start of each round
STATE = 128  # numbers; a power of two

RUNNING = tl.constexpr(0)
SOLVED = tl.constexpr(1)
MISSED = tl.constexpr(2)  # not in the box, or more undecided points than there was room for
FEW = tl.constexpr(3)  # fewer valid points than the budget

# The answer: float64 numbers. Price, threshold, share, value; then what moves the corners.
MOVES = tl.constexpr(4)  # of the budget, and of twice the mistakes
ANSWER = 8  # numbers; a power of two

DEVIATIONS = tl.constexpr(4.0)
PRICE_ONE = tl.constexpr(1 << 24)
SLOPE_ONE = tl.constexpr(1 << 48)
ONE = tl.constexpr(1 << 62)
SECOND = tl.constexpr(1 << 25)  # marks a second piece beside its gain
LOWEST = tl.constexpr(-(1 << 60))
SLOPE_UNIT = tl.constexpr(2.0**-48)
GRID_UNIT = tl.constexpr(2.0**-24)
WIDTH_UNIT = tl.constexpr(2.0**-38)
HALF_ONE = tl.constexpr(2.0**31)


# ------------------------------------------------------------------------------------------------ numbers in two halves


@triton.jit
def carried(high, low):
    """The same number with 0 <= low < 2^31."""
    return high + (low >> HALF_SHIFT), low & HALF_MASK


@triton.jit
def real(high, low):
    """high * 2^31 + low in float64: two conversions, one exact product, one addition."""
    return high.to(tl.float64) * HALF_ONE + low.to(tl.float64)


@triton.jit
def not_negative(advantage, slope, width_high, width_low):
    """Whether advantage * 2^62 - slope * width >= 0, exactly: the value's slope in the price, in units of 2^-86.

    As no point adds more than about 1 to slope * width, the part of it above 2^62 fits 64 bits.
    """
    size = tl.abs(slope)
    upper, lower = size >> GRID_SHIFT, size & 0xFFFFFF
    w1, w0 = width_high & HALF_MASK, width_low
    w2 = width_high >> HALF_SHIFT
    u0, u1, u2 = upper * w0, upper * w1, upper * w2  # below 2^55, as are the other products of 24 and 31 bits
    z0 = ((u0 & 127) << 24) + lower * w0
    z1 = (u0 >> 7) + ((u1 & 127) << 24) + lower * w1
    z2 = (u1 >> 7) + ((u2 & 127) << 24) + lower * w2
    z1 += z0 >> HALF_SHIFT
    z2 += z1 >> HALF_SHIFT
    above = z2 + ((u2 >> 7) << HALF_SHIFT)
    rest = ((z0 & HALF_MASK) | (z1 & HALF_MASK)) != 0
    return tl.where(slope >= 0, advantage - above - rest.to(tl.int64) >= 0, advantage + above >= 0)


@triton.jit
def load_box(state, turn):
    box = state + BOXES + 4 * turn
    return tl.load(box), tl.load(box + 1), tl.load(box + 2), tl.load(box + 3)


# ----------------------------------------------------------------------------------------------------------- the sample


@triton.jit
def place(k, size, SAMPLE: tl.constexpr, SAMPLE_BITS: tl.constexpr):
    """Where the sample's k-th point is: one in each of SAMPLE equal stretches, at a hashed place within it."""
    k = k.to(tl.int64)
    within = (k * 40503) & 0xFFFF
    return tl.where(size <= SAMPLE, k, (((k << 16) + within) * size) >> (16 + SAMPLE_BITS))


@triton.jit
def load_points(gain, correctness, k, size, SAMPLE: tl.constexpr, SAMPLE_BITS: tl.constexpr):
    live = k < tl.minimum(size, SAMPLE)
    at = place(k, size, SAMPLE, SAMPLE_BITS)
    gains = tl.load(gain + at, mask=live, other=float("nan"))
    correct = tl.load(correctness + at, mask=live, other=0.0)
    g, a = grid_units(gains, correct)
    return g, a, gains == gains


@triton.jit(do_not_specialize=["room", "spend", "rate_bits", "turn"])
def order_kernel(
    gain, correctness, room: tl.int64, state, account, spend: tl.int64, rate_bits: tl.int64,
    slopes, widths, marks, advantages, kinks, turn: tl.int32,
    SAMPLE: tl.constexpr, SAMPLE_BITS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sorts the sample: its pieces by falling slope, first pieces first among equals, and its gains."""
    size = tl.load(state + SIZES + 2 * turn)
    waiting = tl.load(state + DONE) == 0
    if waiting & (size > room) & (tl.program_id(0) == 0):  # what there was no room for is nowhere: nothing is read
        if turn == 1:
            tl.store(state + POINTS, tl.load(account + VALID * LINE))
        tl.store(state + DONE, tl.cast(MISSED, tl.int64))
    if waiting & (size <= room):
        both = tl.load(state + BOXES + 4 * turn + 2) < 0  # second pieces pay at most 0
        mine = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
        g, a, valid = load_points(gain, correctness, mine, size, SAMPLE, SAMPLE_BITS)
        d = a.to(tl.int64) * g.to(tl.int64)
        minus = -(g.to(tl.int64) << GRID_SHIFT)
        # Added up over all columns at the end, so that no iteration waits for another thread. Two counts below 2^15
        # share a number: gains that are lower, and pieces that pay more than the first.
        counted = tl.zeros((ROWS, BLOCK), tl.int32)
        seconds = tl.zeros((ROWS, BLOCK), tl.int32)
        there = tl.zeros((BLOCK,), tl.int32)
        first = tl.cast(0, tl.int32)
        while first < tl.minimum(size, SAMPLE):
            theirs = first + tl.arange(0, BLOCK)
            other_g, other_a, other_valid = load_points(gain, correctness, theirs, size, SAMPLE, SAMPLE_BITS)
            other_d = tl.where(other_valid, other_a.to(tl.int64) * other_g.to(tl.int64), LOWEST)
            other_minus = tl.where(other_valid, -(other_g.to(tl.int64) << GRID_SHIFT), LOWEST)
            other_g = tl.where(other_valid, other_g, PRICE_ONE + 1)
            there += other_valid.to(tl.int32)
            earlier = theirs[None, :] < mine[:, None]
            lower = (other_g[None, :] < g[:, None]) | ((other_g[None, :] == g[:, None]) & earlier)
            steeper = (other_d[None, :] > d[:, None]) | ((other_d[None, :] == d[:, None]) & earlier)
            counted += lower.to(tl.int32) + (steeper.to(tl.int32) << 16)
            if both:
                counted += (other_minus[None, :] > d[:, None]).to(tl.int32) << 16
                seconds += (other_d[None, :] >= minus[:, None]).to(tl.int32)
            first += BLOCK
        sums = tl.sum(counted, 1)
        below, before_first = sums & 0xFFFF, sums >> 16
        before_second = tl.sum(seconds, 1)
        sampled = tl.sum(there, 0)
        before_second += below  # of second pieces, those of lower gains pay more
        tl.store(kinks + below, g, mask=valid)
        width = width_units(g)
        tl.store(slopes + before_first, d, mask=valid)
        tl.store(widths + before_first, width, mask=valid)
        tl.store(marks + before_first, g, mask=valid)
        tl.store(advantages + before_first, a, mask=valid)
        if both:
            tl.store(slopes + before_second, minus, mask=valid)
            tl.store(widths + before_second, width, mask=valid)
            tl.store(marks + before_second, g + SECOND, mask=valid)
            tl.store(advantages + before_second, a, mask=valid)
        if tl.program_id(0) == 0:
            tl.store(state + SAMPLED, sampled.to(tl.int64))
            points = sampled.to(tl.int64)
            if turn == 0:
                if size > SAMPLE:
                    points = points * size // SAMPLE
            else:
                points = tl.load(state + POINTS)
                if turn == 1:
                    points = tl.load(account + VALID * LINE)
            tl.store(state + POINTS, points)
            rate = tl.cast(rate_bits, tl.int64).to(tl.float64, bitcast=True)
            more = tl.floor(rate * points.to(tl.float64) * (2.0 * GRID) + 0.5).to(tl.int64)
            tl.store(state + SPEND, tl.cast(spend, tl.int64) + more)


# ---------------------------------------------------------------------------------------- the game on the sorted pieces


@triton.jit
def base_sums(account):
    """What the decided points add: points with q = 1, advantage in 2^-24, width in two halves."""
    whole = tl.load(account + SATURATED * LINE) + tl.load(account + FULL * LINE)
    advantage = tl.load(account + PRICED_ADVANTAGE * LINE) + tl.load(account + FULL_ADVANTAGE * LINE)
    advantage += tl.load(account + FULL * LINE) << GRID_SHIFT
    high, low = carried(tl.load(account + WIDTH_HIGH * LINE), tl.load(account + WIDTH_LOW * LINE))
    return whole, advantage, high, low


@triton.jit
def moved(answer, corner):
    """By how much a corner's budget and twice its mistakes differ from the middle's, corner 0, in the sample."""
    budget = tl.load(answer + MOVES, mask=corner > 0, other=0.0) * (2 * (corner % 2) - 1)
    spend = tl.load(answer + MOVES + 1, mask=corner > 0, other=0.0) * (2 * ((corner - 1) // 2) - 1)
    return budget, spend


@triton.jit
def amount_left(answer, account, budget, corner, part):
    """The sample's share of the budget less that of decided points with q = 1."""
    more, _more_spend = moved(answer, corner)
    whole, _advantage, _high, _low = base_sums(account)
    return (budget - (whole << HALF_SHIFT)).to(tl.float64) * (1.0 / HALF_ONE) * part + more


@triton.jit
def target(price, state, answer, account, budget, corner, exact, part):
    """What probability the pieces have to hold at a price, in 2^-62: the budget less what the decided points have."""
    whole, _advantage, width_high, width_low = base_sums(account)
    if exact:
        high, low = carried((budget - (whole << HALF_SHIFT)) - price * width_high, -price * width_low)
    else:
        priced = (price.to(tl.float64) * GRID_UNIT) * (real(width_high, width_low) * WIDTH_UNIT)
        amount = amount_left(answer, account, budget, corner, part) - priced * part
        high = tl.floor(amount * HALF_ONE).to(tl.int64)
        low = high * 0
    return high, low


@triton.jit
def threshold_at(slopes, at, pieces, high, low, threshold_low, threshold_high):
    """The slope of the piece that is filled in part; an end of the box where it is none of these points'."""
    slope = tl.load(slopes + at, mask=at < pieces, other=0)
    filled = (high < 0) | ((high == 0) & (low == 0))  # by the decided points alone
    return tl.where(filled, threshold_high, tl.where(at < pieces, slope, threshold_low))


@triton.jit
def rising(sums, threshold, state, answer, account, corner, exact, part):
    """Whether the value rises with the price: the slope at a threshold, from ``slope_sums`` and the decided points."""
    advantage, high, low = sums
    _whole, base_advantage, base_high, base_low = base_sums(account)
    base_advantage -= tl.load(state + SPEND)
    if exact:
        high, low = carried(high + base_high, low + base_low)
        up = not_negative(advantage + base_advantage, threshold, high, low)
    else:
        _more_budget, more = moved(answer, corner)
        width = (real(high, low) + real(base_high, base_low) * part) * WIDTH_UNIT
        gained = (advantage.to(tl.float64) + base_advantage.to(tl.float64) * part) * GRID_UNIT
        up = gained - more - threshold.to(tl.float64) * SLOPE_UNIT * width >= 0.0
    return up


@triton.jit
def load_pieces(slopes, widths, marks, advantages, at, pieces):
    live = at < pieces
    mark = tl.load(marks + at, mask=live, other=0)
    is_first = mark < SECOND
    g = tl.where(is_first, mark, mark - SECOND)
    slope = tl.load(slopes + at, mask=live, other=LOWEST)
    width = tl.load(widths + at, mask=live, other=0)
    a = tl.load(advantages + at, mask=live, other=0)
    return live, is_first, g, slope, width, a.to(tl.int64)


@triton.jit
def extent(live, is_first, free, width, price):
    """The probability that a piece holds, in 2^-62. As free points have price < gain, it is at most 1."""
    priced = price * width
    held = tl.where(free, tl.where(is_first, priced, -priced + ONE), tl.where(is_first, ONE, 0))
    return tl.where(live, held, 0)


@triton.jit
def fill(slopes, widths, marks, advantages, pieces, price, floor, high, low, STRICT: tl.constexpr, BLOCK: tl.constexpr):
    """Which piece brings the probability held to the target (STRICT: beyond it), per price; ``pieces`` if none does."""
    at = tl.zeros(price.shape, tl.int32)
    sum_high = tl.zeros(price.shape, tl.int64)
    sum_low = tl.zeros(price.shape, tl.int64)
    start = tl.cast(0, tl.int32)
    go = pieces > 0
    while go:
        lanes = start + tl.arange(0, BLOCK)
        live, is_first, g, _slope, width, _a = load_pieces(slopes, widths, marks, advantages, lanes, pieces)
        free = g[None, :] > floor[:, None]
        held = extent(live[None, :], is_first[None, :], free, width[None, :], price[:, None])
        held_high, held_low = held >> HALF_SHIFT, held & HALF_MASK
        h, low_half = carried(sum_high[:, None] + tl.cumsum(held_high, 1), sum_low[:, None] + tl.cumsum(held_low, 1))
        if STRICT:
            reached = (h > high[:, None]) | ((h == high[:, None]) & (low_half > low[:, None]))
        else:
            reached = (h > high[:, None]) | ((h == high[:, None]) & (low_half >= low[:, None]))
        at += tl.sum((live[None, :] & (reached == 0)).to(tl.int32), 1)
        sum_high += tl.sum(held_high, 1)
        sum_low += tl.sum(held_low, 1)
        start += BLOCK
        # Whether a price is left whose target was not reached.
        go = (start < pieces) & (tl.max(at, 0) == start)
    return at


@triton.jit
def slope_sums(slopes, widths, marks, advantages, pieces, threshold, floor, BLOCK: tl.constexpr):
    """Advantage and width of free points over the pieces that pay more than the threshold, per price."""
    advantage = tl.zeros(floor.shape, tl.int64)
    high = tl.zeros(floor.shape, tl.int64)
    low = tl.zeros(floor.shape, tl.int64)
    lowest = tl.min(threshold, 0)
    start = tl.cast(0, tl.int32)
    go = pieces > 0
    while go:
        lanes = start + tl.arange(0, BLOCK)
        live, is_first, g, slope, width, a = load_pieces(slopes, widths, marks, advantages, lanes, pieces)
        taken = live[None, :] & (slope[None, :] > threshold[:, None]) & (g[None, :] > floor[:, None])
        signed = tl.where(is_first, width, -width)
        advantage += tl.sum(tl.where(taken, tl.where(is_first, a, PRICE_ONE)[None, :], 0), 1)
        high += tl.sum(tl.where(taken, (signed >> HALF_SHIFT)[None, :], 0), 1)
        low += tl.sum(tl.where(taken, (signed & HALF_MASK)[None, :], 0), 1)
        start += BLOCK
        go = (start < pieces) & (tl.min(tl.where(live, slope, SLOPE_ONE + 1), 0) > lowest)
    return advantage, high, low


@triton.jit
def kink(kinks, index, sampled, price_low, price_high):
    """Prices to try, ascending: the low end, the gains within the box, the high end."""
    inner = (index > 0) & (index <= sampled)
    price = tl.load(kinks + index - 1, mask=inner, other=0).to(tl.int64)
    price = tl.minimum(tl.maximum(price, price_low), price_high)
    return tl.where(index <= 0, price_low, tl.where(inner, price, price_high))


@triton.jit
def bracket(rises, sampled, FAN: tl.constexpr):
    """From the first search: how far apart its prices were, and the number of the last that rose (-1: none)."""
    stride = (sampled + 2 + FAN - 1) // FAN
    return stride, tl.sum(tl.load(rises + tl.arange(0, FAN)), 0) - 1


@triton.jit(do_not_specialize=["budget", "turn", "first_corner"])
def search_kernel(
    state, answer, account, budget: tl.int64, slopes, widths, marks, advantages, kinks, rises, thresholds,
    turn: tl.int32, first_corner: tl.int32, LEVEL: tl.constexpr, SAMPLE: tl.constexpr, FAN: tl.constexpr,
    PRICES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Whether the value rises after each of some prices, and the threshold there."""
    size = tl.load(state + SIZES + 2 * turn)
    if (tl.load(state + DONE) == 0) & ((first_corner == 0) | (size > SAMPLE)):
        corner = first_corner + tl.program_id(1)
        rises += corner * 3 * FAN
        thresholds += corner * 2 * FAN
        sampled = tl.load(state + SAMPLED).to(tl.int32)
        price_low, price_high, threshold_low, threshold_high = load_box(state, turn)
        pieces = tl.where(threshold_low < 0, 2 * sampled, sampled)
        exact = size <= SAMPLE
        part = 1.0 / size.to(tl.float64) * SAMPLE
        fan = tl.program_id(0) * PRICES + tl.arange(0, PRICES)
        if LEVEL == 0:
            stride = (sampled + 2 + FAN - 1) // FAN
            index = fan * stride
            needed = index <= sampled + 1
        else:
            stride, last = bracket(rises, sampled, FAN)
            index = tl.maximum(last, 0) * stride + 1 + fan
            needed = fan < stride
        index = tl.minimum(index, sampled + 1)
        if tl.max(needed.to(tl.int32), 0) > 0:
            price = kink(kinks, index, sampled, price_low, price_high)
            high, low = target(price, state, answer, account, budget, corner, exact, part)
            at = fill(slopes, widths, marks, advantages, pieces, price, price, high, low, False, BLOCK)
            threshold = threshold_at(slopes, at, pieces, high, low, threshold_low, threshold_high)
            sums = slope_sums(slopes, widths, marks, advantages, pieces, threshold, price, BLOCK)
            up = rising(sums, threshold, state, answer, account, corner, exact, part)
            tl.store(rises + LEVEL * FAN + fan, (up & needed & (price < price_high)).to(tl.int32))
            tl.store(thresholds + LEVEL * FAN + fan, threshold)
            if LEVEL == 1:
                # Just below the price, where points of that gain are not saturated yet.
                below = price - 1
                at = fill(slopes, widths, marks, advantages, pieces, price, below, high, low, True, BLOCK)
                threshold = threshold_at(slopes, at, pieces, high, low, threshold_low, threshold_high)
                sums = slope_sums(slopes, widths, marks, advantages, pieces, threshold, below, BLOCK)
                up = rising(sums, threshold, state, answer, account, corner, exact, part)
                tl.store(rises + 2 * FAN + fan, up.to(tl.int32))
        else:
            tl.store(rises + LEVEL * FAN + fan, tl.zeros((PRICES,), tl.int32))


@triton.jit
def around(rises, thresholds, kinks, sampled, price_low, price_high, FAN: tl.constexpr):
    """The two prices around the equilibrium, whether it is the upper one, and the threshold there.

    Both are the box's low end where the value falls from there on.
    """
    stride, last = bracket(rises, sampled, FAN)
    base = tl.maximum(last, 0) * stride
    index = base + tl.sum(tl.load(rises + FAN + tl.arange(0, FAN)), 0)
    floor = kink(kinks, index, sampled, price_low, price_high)
    lowest = last < 0
    # The ceiling was tried by the second search, if the low end is not what is looked for.
    slot = tl.where(lowest, 0, FAN + index - base)
    ceiling = tl.where(lowest, floor, kink(kinks, index + 1, sampled, price_low, price_high))
    on_gain = lowest | (tl.load(rises + FAN + tl.maximum(slot, FAN)) != 0)
    return lowest, floor, ceiling, on_gain, tl.load(thresholds + slot)
