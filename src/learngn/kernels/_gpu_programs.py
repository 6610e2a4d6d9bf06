"""GPU programs in Triton. A 2D grid is one plane, X = 1, and its fields have the components along y and z.

Every program processes `BLOCK` voxels of one sample; arrays are components first, with `size` voxels per volume.
Offsets of samples and channels are of 64 bits, because an image with many channels can have more than 2³¹ values.

An integer argument that is one, as an axis of a 2D grid or a single channel, is a constant for the compiler, without
the methods of a tensor: ``n - 1.0`` works for both, ``(n - 1).to(tl.float32)`` in Triton's interpreter only.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 256

APPLY, RELAX, RELAX_FROM_ZERO, ELASTIC = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)


@triton.jit
def _place(ny, nz, BLOCK: tl.constexpr):
    """Return the voxels of this program and their indices."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    return i, i // (ny * nz), (i // nz) % ny, i % nz


@triton.jit
def _beside(i, x, y, z, nx, ny, nz):
    """Return the neighbours along the axes; at the borders the voxel itself."""
    xm, xp = tl.where(x > 0, i - ny * nz, i), tl.where(x < nx - 1, i + ny * nz, i)
    ym, yp = tl.where(y > 0, i - nz, i), tl.where(y < ny - 1, i + nz, i)
    zm, zp = tl.where(z > 0, i - 1, i), tl.where(z < nz - 1, i + 1, i)
    return xm, xp, ym, yp, zm, zp


@triton.jit
def _stencil(field, i, xm, xp, ym, yp, zm, zp, s, AXES: tl.constexpr, there):
    """Return a component and ``Σ_b s_b (-∂_b²)`` of it, with Neumann borders."""
    c = tl.load(field + i, mask=there, other=0.0)
    t = tl.load(s + AXES - 1) * (
        2 * c - tl.load(field + zm, mask=there, other=0.0) - tl.load(field + zp, mask=there, other=0.0)
    )
    t += tl.load(s + AXES - 2) * (
        2 * c - tl.load(field + ym, mask=there, other=0.0) - tl.load(field + yp, mask=there, other=0.0)
    )
    if AXES == 3:
        t += tl.load(s) * (
            2 * c - tl.load(field + xm, mask=there, other=0.0) - tl.load(field + xp, mask=there, other=0.0)
        )
    return c, t


@triton.jit
def _degree(s, ex, ey, ez, AXES: tl.constexpr):
    """Return the diagonal of :func:`_stencil`, from the number of neighbours along every axis."""
    d = tl.load(s + AXES - 1) * ez + tl.load(s + AXES - 2) * ey
    if AXES == 3:
        d += tl.load(s) * ex
    return d


@triton.jit
def operate(
    blocks, s, shift, rhs, x, out, omega, size, nx, ny, nz, MODE: tl.constexpr, AXES: tl.constexpr, BLOCK: tl.constexpr
):
    """Compute by `MODE` ``A x``, a block-Jacobi sweep for ``A x = rhs`` from x or from zero, or the stencil alone."""
    n = tl.program_id(1).to(tl.int64)
    i, ix, iy, iz = _place(ny, nz, BLOCK)
    there = i < size
    s += n * AXES * AXES
    field, right, to = x + n * AXES * size, rhs + n * AXES * size, out + n * AXES * size
    xm, xp, ym, yp, zm, zp = _beside(i, ix, iy, iz, nx, ny, nz)
    zero = tl.zeros([BLOCK], tl.float32)
    c0, c1, c2, t0, t1, t2 = zero, zero, zero, zero, zero, zero
    last: tl.constexpr = AXES - 1
    if MODE != RELAX_FROM_ZERO:
        c1, t1 = _stencil(field + (last - 1) * size, i, xm, xp, ym, yp, zm, zp, s + (last - 1) * AXES, AXES, there)
        c2, t2 = _stencil(field + last * size, i, xm, xp, ym, yp, zm, zp, s + last * AXES, AXES, there)
        if AXES == 3:
            c0, t0 = _stencil(field, i, xm, xp, ym, yp, zm, zp, s, AXES, there)
    if MODE != ELASTIC:
        mu = tl.load(shift + n)
        b00, b01, b02 = zero + 1, zero, zero
        b = blocks + n * (AXES * (AXES + 1) // 2) * size + i
        if AXES == 3:
            b00, b01 = tl.load(b, mask=there, other=1.0), tl.load(b + size, mask=there, other=0.0)
            b02 = tl.load(b + 2 * size, mask=there, other=0.0)
            b += 3 * size
        b11, b12 = tl.load(b, mask=there, other=1.0), tl.load(b + size, mask=there, other=0.0)
        b22 = tl.load(b + 2 * size, mask=there, other=1.0)
        t0 += mu * c0 + b00 * c0 + b01 * c1 + b02 * c2
        t1 += mu * c1 + b01 * c0 + b11 * c1 + b12 * c2
        t2 += mu * c2 + b02 * c0 + b12 * c1 + b22 * c2
        if MODE != APPLY:
            ex = ((ix > 0).to(tl.float32) + (ix < nx - 1).to(tl.float32)).to(tl.float32)
            ey = ((iy > 0).to(tl.float32) + (iy < ny - 1).to(tl.float32)).to(tl.float32)
            ez = ((iz > 0).to(tl.float32) + (iz < nz - 1).to(tl.float32)).to(tl.float32)
            q0 = zero
            if AXES == 3:
                q0 = tl.load(right + i, mask=there, other=0.0) - t0
                b00 += mu + _degree(s, ex, ey, ez, AXES)
            q1 = tl.load(right + (last - 1) * size + i, mask=there, other=0.0) - t1
            q2 = tl.load(right + last * size + i, mask=there, other=0.0) - t2
            b11 += mu + _degree(s + (last - 1) * AXES, ex, ey, ez, AXES)
            b22 += mu + _degree(s + last * AXES, ex, ey, ez, AXES)
            # LDLᵀ decomposition of every block.
            l10, l20 = b01 / b00, b02 / b00
            d1 = b11 - l10 * b01
            e21 = b12 - l20 * b01
            l21 = e21 / d1
            d2 = b22 - l20 * b02 - l21 * e21
            y1 = q1 - l10 * q0
            p2 = (q2 - l20 * q0 - l21 * y1) / d2
            p1 = y1 / d1 - l21 * p2
            t0 = c0 + omega * (q0 / b00 - l10 * p1 - l20 * p2)
            t1, t2 = c1 + omega * p1, c2 + omega * p2
    if AXES == 3:
        tl.store(to + i, t0, mask=there)
    tl.store(to + (last - 1) * size + i, t1, mask=there)
    tl.store(to + last * size + i, t2, mask=there)


@triton.jit
def _central(image, m, p, there):
    """Compute the difference of the neighbours: twice the derivative, or the derivative itself at borders."""
    return tl.load(image + p, mask=there, other=0.0) - tl.load(image + m, mask=there, other=0.0)


@triton.jit
def linearise(
    fixed, warped, weight, blocks, slope, energy, channels, size, nx, ny, nz,
    SYMMETRIC: tl.constexpr, WEIGHTED: tl.constexpr, AXES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute blocks w JᵀJ, gradient w Jᵀf and the program's part of ½ Σ w f², in one pass over the channels."""
    n = tl.program_id(1).to(tl.int64)
    i, ix, iy, iz = _place(ny, nz, BLOCK)
    there = i < size
    xm, xp, ym, yp, zm, zp = _beside(i, ix, iy, iz, nx, ny, nz)
    zero = tl.zeros([BLOCK], tl.float32)
    b00, b01, b02, b11, b12, b22 = zero, zero, zero, zero, zero, zero
    g0, g1, g2, e = zero, zero, zero, zero
    for c in range(channels):
        ours, theirs = fixed + (n * channels + c) * size, warped + (n * channels + c) * size
        f = tl.load(theirs + i, mask=there, other=0.0) - tl.load(ours + i, mask=there, other=0.0)
        j0, j1, j2 = zero, _central(theirs, ym, yp, there), _central(theirs, zm, zp, there)
        if AXES == 3:
            j0 = _central(theirs, xm, xp, there)
        if SYMMETRIC:
            j1 += _central(ours, ym, yp, there)
            j2 += _central(ours, zm, zp, there)
            if AXES == 3:
                j0 += _central(ours, xm, xp, there)
        b00, b01, b02 = b00 + j0 * j0, b01 + j0 * j1, b02 + j0 * j2
        b11, b12, b22 = b11 + j1 * j1, b12 + j1 * j2, b22 + j2 * j2
        g0, g1, g2, e = g0 + j0 * f, g1 + j1 * f, g2 + j2 * f, e + f * f
    w = zero + 1
    if WEIGHTED:
        w = tl.load(weight + n * size + i, mask=there, other=0.0)
    share: tl.constexpr = 0.5 if SYMMETRIC else 1.0
    hx = tl.where((ix > 0) & (ix < nx - 1), 0.5, 1.0) * share
    hy = tl.where((iy > 0) & (iy < ny - 1), 0.5, 1.0) * share
    hz = tl.where((iz > 0) & (iz < nz - 1), 0.5, 1.0) * share
    b, g = blocks + n * (AXES * (AXES + 1) // 2) * size + i, slope + n * AXES * size + i
    if AXES == 3:
        tl.store(b, w * hx * hx * b00, mask=there)
        tl.store(b + size, w * hx * hy * b01, mask=there)
        tl.store(b + 2 * size, w * hx * hz * b02, mask=there)
        tl.store(g, w * hx * g0, mask=there)
        b += 3 * size
        g += size
    tl.store(b, w * hy * hy * b11, mask=there)
    tl.store(b + size, w * hy * hz * b12, mask=there)
    tl.store(b + 2 * size, w * hz * hz * b22, mask=there)
    tl.store(g, w * hy * g1, mask=there)
    tl.store(g + size, w * hz * g2, mask=there)
    # Every program writes its own sum: the result of atomic sums would depend on their order.
    part = tl.sum((w * e).to(tl.float64), axis=0) / 2
    tl.store(energy + n * tl.num_programs(0) + tl.program_id(0), part)


@triton.jit
def _cell(p, n):
    """Return the lower voxel of the cell that contains a position, clamped to the axis, and the upper one's weight."""
    p = tl.where(p > 0, p, 0.0)  # in this order NaN becomes zero
    p = tl.where(p < n - 1, p, n - 1.0)
    lower = tl.minimum(tl.floor(p).to(tl.int32), tl.maximum(n - 2, 0))
    return lower, p - lower.to(tl.float32)


@triton.jit
def sample(
    image, field, matrix, out, channels, of_channel, of_voxel, before, mx, my, mz, size, nx, ny, nz,
    DISPLACED: tl.constexpr, AXES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute ``out(x) = image(matrix (x + field(x)))`` linearly, for images (mx, my, mz) with given strides."""
    n = tl.program_id(1).to(tl.int64)
    i, ix, iy, iz = _place(ny, nz, BLOCK)
    there = i < size
    q0, q1, q2 = ix.to(tl.float32), iy.to(tl.float32), iz.to(tl.float32)
    if DISPLACED:
        u = field + n * AXES * size + i
        if AXES == 3:
            q0 += tl.load(u, mask=there, other=0.0)
            u += size
        q1 += tl.load(u, mask=there, other=0.0)
        q2 += tl.load(u + size, mask=there, other=0.0)
    p0 = tl.load(matrix) * q0 + tl.load(matrix + 1) * q1 + tl.load(matrix + 2) * q2 + tl.load(matrix + 3)
    p1 = tl.load(matrix + 4) * q0 + tl.load(matrix + 5) * q1 + tl.load(matrix + 6) * q2 + tl.load(matrix + 7)
    p2 = tl.load(matrix + 8) * q0 + tl.load(matrix + 9) * q1 + tl.load(matrix + 10) * q2 + tl.load(matrix + 11)
    c0, g0 = _cell(p0, mx)
    c1, g1 = _cell(p1, my)
    c2, g2 = _cell(p2, mz)
    dx, dy = tl.where(mx > 1, my * mz, 0) * of_voxel, tl.where(my > 1, mz, 0) * of_voxel
    dz = tl.where(mz > 1, 1, 0) * of_voxel
    at = image + n * before + ((c0 * my + c1) * mz + c2) * tl.cast(of_voxel, tl.int64)
    for c in range(channels):
        a = at + c * tl.cast(of_channel, tl.int64)
        v00 = tl.load(a, mask=there, other=0.0) * (1 - g2) + tl.load(a + dz, mask=there, other=0.0) * g2
        v01 = tl.load(a + dy, mask=there, other=0.0) * (1 - g2) + tl.load(a + dy + dz, mask=there, other=0.0) * g2
        a += dx
        v10 = tl.load(a, mask=there, other=0.0) * (1 - g2) + tl.load(a + dz, mask=there, other=0.0) * g2
        v11 = tl.load(a + dy, mask=there, other=0.0) * (1 - g2) + tl.load(a + dy + dz, mask=there, other=0.0) * g2
        v = (v00 * (1 - g1) + v01 * g1) * (1 - g0) + (v10 * (1 - g1) + v11 * g1) * g0
        tl.store(out + (n * channels + c) * size + i, v, mask=there)
