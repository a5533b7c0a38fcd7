"""Compiled neighbour search: a k-d partition into blocks of lanes, and all pairs of near blocks.

Samples are reordered so that each leaf of the partition is one block (D, LANES), coordinates in
rows. A sample meets a whole block at a time, all lanes at once, and leaves it as soon as no lane is
near enough; blocks whose bounding boxes are too far apart never meet. In few dimensions the boxes
save most pairs, in many dimensions what is left is all pairs at the speed of the arithmetic.
"""

import numpy as np

from .compiled import jit

LANES = 64  # samples to a block
STEP = 4  # dimensions between two looks at whether any lane is still near enough
STRIP = 32  # dimensions in which two blocks meet before the next ones, so that both stay in cache


@jit
def _select(key, order, first, last, nth):
    """Reorder order[first:last] so that keys before place nth are <= those from it on."""
    last -= 1
    while first < last:
        a, b, c = key[order[first]], key[order[(first + last) // 2]], key[order[last]]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = first, last
        while i <= j:
            while key[order[i]] < pivot:
                i += 1
            while key[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if nth <= j:
            last = j
        elif nth >= i:
            first = i
        else:
            return


@jit
def partition(columns):
    """Put samples in columns (D, N) into blocks, under a tree of bounding boxes in preorder.

    Returns
    -------
    order : (N,), sample at each place; place p is lane p % LANES of block p // LANES
    blocks : (blocks, D', LANES), coordinates, D' a multiple of STEP; inf in lanes beyond N
    low, high : (nodes, D), corners of the boxes
    skip : (nodes,), next node that is not below this one
    leaf : (nodes,), block of a leaf, -1 for other nodes
    home : (blocks,), node of each block
    """
    d, n = columns.shape
    count = (n + LANES - 1) // LANES
    order = np.empty(n, np.int64)  # np.arange would take a second more to compile
    for place in range(n):
        order[place] = place
    low, high = np.empty((2 * count - 1, d)), np.empty((2 * count - 1, d))
    skip = np.empty(2 * count - 1, np.int64)
    leaf = np.empty(2 * count - 1, np.int64)
    home = np.empty(count, np.int64)
    blocks = np.empty((count, (d + STEP - 1) // STEP * STEP, LANES))
    leaf[:], blocks[:] = -1, np.inf
    # Right halves that wait, with their first and last places: one for each level.
    waiting = np.empty((64, 2), np.int64)
    waiting[0, 0], waiting[0, 1] = 0, n
    left, node = 1, 0
    while left:
        left -= 1
        first, last = waiting[left, 0], waiting[left, 1]
        while True:
            widest, reach = 0, -1.0
            for t in range(d):
                low[node, t], high[node, t] = np.inf, -np.inf
                for place in range(first, last):
                    value = columns[t, order[place]]
                    low[node, t] = min(low[node, t], value)
                    high[node, t] = max(high[node, t], value)
                if high[node, t] - low[node, t] > reach:
                    widest, reach = t, high[node, t] - low[node, t]
            held = (last - first + LANES - 1) // LANES
            # A node above `held` blocks has 2 held - 1 nodes, itself among them.
            skip[node] = node + 2 * held - 1
            if held == 1:
                break
            # All blocks are full but the last.
            middle = first + held // 2 * LANES
            if reach > 0:
                _select(columns[widest], order, first, last, middle)
            waiting[left, 0], waiting[left, 1] = middle, last
            left += 1
            last = middle
            node += 1
        block = first // LANES
        leaf[node], home[block] = block, node
        for place in range(first, last):
            for t in range(d):
                blocks[block, t, place - first] = columns[t, order[place]]
            for t in range(d, blocks.shape[1]):
                blocks[block, t, place - first] = 0
        node += 1
    return order, blocks, low, high, skip, leaf, home


@jit
def _apart(low, high, one, other, bound, square):
    """Whether no sample of one box can lie nearer than bound to one of the other.

    Rounding is monotone, so gaps between boxes round to no more than gaps between samples.
    """
    if square:
        total = 0.0
        for t in range(low.shape[1]):
            gap = max(low[one, t] - high[other, t], low[other, t] - high[one, t], 0.0)
            total += gap * gap
        return total >= bound
    far = 0
    for t in range(low.shape[1]):
        far += low[one, t] - high[other, t] >= bound
        far += low[other, t] - high[one, t] >= bound
    return far > 0


@jit
def _meet(blocks, own, lane, block, start, gap, bound, square):
    """Take dimensions start to start + STRIP into gap (LANES, LANES): how many lanes are < bound.

    Row `lane` of gap becomes the distances of that sample to the block, squared ones if square. If
    none is below bound, the row may hold no more than lower bounds.
    """
    near = 0
    if start == 0:
        for other in range(LANES):
            gap[lane, other] = 0.0
    for t in range(start, min(start + STRIP, blocks.shape[1]), STEP):
        a0, a1 = blocks[own, t, lane], blocks[own, t + 1, lane]
        a2, a3 = blocks[own, t + 2, lane], blocks[own, t + 3, lane]
        near = 0
        if square:
            for other in range(LANES):
                d0, d1 = a0 - blocks[block, t, other], a1 - blocks[block, t + 1, other]
                d2, d3 = a2 - blocks[block, t + 2, other], a3 - blocks[block, t + 3, other]
                far = gap[lane, other] + d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3
                gap[lane, other] = far
                near += far < bound
        else:
            for other in range(LANES):
                d0 = abs(a0 - blocks[block, t, other])
                d1 = abs(a1 - blocks[block, t + 1, other])
                d2 = abs(a2 - blocks[block, t + 2, other])
                d3 = abs(a3 - blocks[block, t + 3, other])
                far = gap[lane, other]
                far = d0 if d0 > far else far
                far = d1 if d1 > far else far
                far = d2 if d2 > far else far
                far = d3 if d3 > far else far
                gap[lane, other] = far
                near += far < bound
        if near == 0:
            return 0
    return near


@jit
def _meet_all(blocks, own, block, gap, bound, square, near):
    """Let all samples of a block meet another: near (n,) lanes below bound (n,) for each of n."""
    for start in range(0, blocks.shape[1], STRIP):
        for lane in range(len(near)):
            if start == 0 or near[lane] > 0:
                near[lane] = _meet(blocks, own, lane, block, start, gap, bound[lane], square)


@jit
def _keep(order, own, block, lane, gap, distance, index):
    """Put lanes of a block that are among the nearest k into row lane of distance, index."""
    k = distance.shape[1]
    for other in range(LANES):
        far = gap[lane, other]
        if far < distance[lane, k - 1] and not (block == own and other == lane):
            at = k - 1
            while at > 0 and distance[lane, at - 1] > far:
                distance[lane, at], index[lane, at] = distance[lane, at - 1], index[lane, at - 1]
                at -= 1
            distance[lane, at], index[lane, at] = far, order[block * LANES + other]


@jit
def nearest_in(tree, first, last, square, distance, index):
    """Fill distance, index (N, k) with the k nearest of the samples in blocks first to last."""
    order, blocks, low, high, skip, leaf, home = tree
    k = distance.shape[1]
    gap = np.empty((LANES, LANES))
    own_distance, own_index = np.empty((LANES, k)), np.empty((LANES, k), np.int64)
    for own in range(first, last):
        count = min(LANES, len(order) - own * LANES)
        near, reach = np.zeros(count, np.int64), np.empty(count)
        own_distance[:], own_index[:], reach[:] = np.inf, -1, np.inf
        node = -1  # its own block first
        while node < len(skip):
            if node >= 0 and _apart(low, high, home[own], node, reach.max(), square):
                node = skip[node]
                continue
            block = own if node < 0 else leaf[node]
            if block >= 0 and (block != own or node < 0):
                _meet_all(blocks, own, block, gap, reach, square, near)
                for lane in range(count):
                    if near[lane] > 0:
                        _keep(order, own, block, lane, gap, own_distance, own_index)
                        reach[lane] = own_distance[lane, k - 1]
            node += 1
        for lane in range(count):
            for at in range(k):
                distance[order[own * LANES + lane], at] = own_distance[lane, at]
                index[order[own * LANES + lane], at] = own_index[lane, at]


@jit
def _inside(low, high, one, other, bound):
    """Whether all samples of one box lie nearer than bound to all of the other."""
    far = 0
    for t in range(low.shape[1]):
        far += high[one, t] - low[other, t] >= bound
        far += high[other, t] - low[one, t] >= bound
    return far == 0


@jit
def count_in(tree, first, last, radius, count):
    """Fill count (N,) with how many others lie nearer than radius (N,), for some blocks."""
    order, blocks, low, high, skip, leaf, home = tree
    n = len(order)
    gap = np.empty((LANES, LANES))
    for own in range(first, last):
        size = min(LANES, n - own * LANES)
        bound = np.empty(size)
        for lane in range(size):
            bound[lane] = radius[order[own * LANES + lane]]
        most, least = bound.max(), bound.min()
        near, found = np.zeros(size, np.int64), np.zeros(size, np.int64)
        node = 0
        while node < len(skip):
            if _apart(low, high, home[own], node, most, False):
                node = skip[node]
            elif _inside(low, high, home[own], node, least):
                inner = node
                while leaf[inner] < 0:
                    inner += 1
                start, held = leaf[inner] * LANES, (skip[node] - node + 1) // 2
                found += min(held * LANES, n - start)
                node = skip[node]
            else:
                if leaf[node] >= 0:
                    _meet_all(blocks, own, leaf[node], gap, bound, False, near)
                    found += near
                node += 1
        for lane in range(size):
            # The sample itself was counted, unless its ball is empty.
            count[order[own * LANES + lane]] = found[lane] - 1 if bound[lane] > 0 else 0
