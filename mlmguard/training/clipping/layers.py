"""Per-unit gradients of one parameter, as products that are never multiplied out unless that is cheaper.

A *share* is what one call of one layer adds to the gradient of one parameter, for every unit at once:

* :class:`OuterShare`: a matrix, the sum of ``g_r a_r^T`` over the rows r of the unit (linear layers);
* :class:`LookupShare`: a matrix, row ``id_r`` receives ``g_r`` (embeddings);
* :class:`UnitShare`: one gradient per unit, written out (biases, scales of norms).

:func:`squared_norms` and :func:`weighted_sum` work on *all* the shares of a parameter together, because the
norm of a sum is not the sum of the norms: a layer that is called twice (ALBERT), or a word matrix that is
both embedding and decoder, has cross terms.

Sources: the squared norm of a linear layer from its activations and output gradients is Goodfellow,
"Efficient per-example gradient computations" (2015, section 4), with sequences Li et al., "Large language
models can be strong differentially private learners" (2022, section 4, ghost clipping); clipped sums from the
kept pairs are Bu et al., "Differentially private optimization on large model at small cost" (2023, section
3, book-keeping). The cross term of the tied word matrix is neither's: see :func:`_tied_cross_term`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

DIRECT_CHUNK = 1 << 25  # elements of written-out gradients held at once by the direct form: 128 MiB in fp32


def wide(x: Tensor) -> Tensor:
    """fp32 where autocast left less: shares keep what the layers saw, norms and sums are taken in fp32."""
    return x if x.dtype == torch.float64 else x.float()


# Units (u,), index (u, L) into the rows, gaps (u, L) bool; all None where the rows are (U, L) as they lie.
Group = tuple[Tensor | None, Tensor | None, Tensor | None]


@dataclass(frozen=True, repr=False)
class Rows:
    """N rows (tokens) that belong to U units."""

    unit: Tensor  # (N,)
    units: int
    length: int | None  # rows per unit where row n belongs to unit n // length; None: anything goes

    @cached_property
    def groups(self) -> list[Group]:
        """Units with about as many rows each, by powers of two: one with many does not pad the others."""
        if self.length is not None:
            return [(None, None, None)]
        order = torch.argsort(self.unit, stable=True)
        counts = torch.bincount(self.unit, minlength=self.units)
        starts = counts.cumsum(0) - counts
        size_class = torch.ceil(torch.log2(counts.clamp(min=1).double())).long()
        found: list[Group] = []
        for size in torch.unique(size_class[counts > 0]).tolist():
            members = ((size_class == size) & (counts > 0)).nonzero().squeeze(1)
            steps = torch.arange(int(counts[members].max()), device=self.unit.device)
            gaps = steps >= counts[members, None]
            index = order[(starts[members, None] + steps).clamp(max=len(order) - 1)]
            found.append((members, index, gaps))
        return found

    def padded(self, x: Tensor, index: Tensor | None, gaps: Tensor | None) -> Tensor:
        """(N, d) as (u, L, d), zero in the gaps, at least fp32."""
        if index is None or gaps is None:
            return wide(x.view(self.units, self.length or 0, x.shape[-1]))
        return wide(x[index].masked_fill_(gaps[..., None], 0.0))

    def sum_by_unit(self, x: Tensor) -> Tensor:
        """(N, d) summed to (U, d), in at least fp32."""
        x = wide(x)
        if self.length is not None:
            return x.view(self.units, self.length, -1).sum(1)
        return x.new_zeros(self.units, x.shape[-1]).index_add_(0, self.unit, x)


@dataclass(frozen=True, repr=False)
class OuterShare:
    """Rows of a linear layer: the gradient is the sum of ``output_grad^T activation``."""

    activation: Tensor  # (N / copies, d)
    output_grad: Tensor  # (N, p)
    rows: Rows
    copies: int = 1  # how many records share the same activations (relative position embeddings)

    def alone(self) -> OuterShare:
        """Return the same with each record's activations written out, (N, d)."""
        if self.copies == 1:
            return self
        return OuterShare(self.activation.repeat(self.copies, 1), self.output_grad, self.rows)


@dataclass(frozen=True, repr=False)
class LookupShare:
    """Rows looked up in an embedding, already summed where a unit looked one id up more than once."""

    ids: Tensor  # (K,)
    grad: Tensor  # (K, d)
    unit: Tensor  # (K,)


@dataclass(frozen=True, repr=False)
class UnitShare:
    """A small parameter's gradient for every unit, written out and flattened."""

    grad: Tensor  # (U, size)


Share = OuterShare | LookupShare | UnitShare


def lookup_share(ids: Tensor, grad: Tensor, rows: Rows, size: int, padding: int | None) -> LookupShare:
    """Sum the N rows of ``grad`` (N, d) by (unit, id). ``padding`` receives no gradient, as in autograd."""
    keys, inverse = torch.unique(rows.unit * size + ids, return_inverse=True)
    grad = wide(grad)
    summed = grad.new_zeros(len(keys), grad.shape[-1]).index_add_(0, inverse, grad)
    unit, ids = torch.div(keys, size, rounding_mode="floor"), keys % size
    if padding is not None:
        summed.masked_fill_((ids == padding)[:, None], 0.0)
    return LookupShare(ids, summed, unit)


@dataclass(repr=False)
class Gram:
    """The blocks of A A^T of the last activations: query, key and value layers read the same ones in turn."""

    activation: Tensor | None = None
    blocks: list[Tensor] = field(default_factory=list)

    def of(self, activation: Tensor, padded: Tensor) -> list[Tensor]:
        """Blocks of (u, L, L) from (u, L, d); remembered by the identity of the unpadded tensor."""
        if self.activation is not activation:
            self.activation, self.blocks = activation, _gram_blocks(padded)
        return self.blocks


def _gram_blocks(x: Tensor) -> list[Tensor]:
    """x x^T of (u, L, d) as its two diagonal blocks and one of the two equal others: 3/4 of the products."""
    upper, lower = torch.tensor_split(x, 2, dim=1)
    return [upper @ upper.mT, lower @ lower.mT, upper @ lower.mT]


def squared_norms(shares: Sequence[Share], units: int, gram: Gram) -> Tensor:
    """(U,) squared Euclidean norm of each unit's gradient of one parameter.

    Raises:
        NotImplementedError: kinds of shares that no supported architecture combines in one parameter.
    """
    outer = [s for s in shares if isinstance(s, OuterShare)]
    lookups = [s for s in shares if isinstance(s, LookupShare)]
    written = [s for s in shares if isinstance(s, UnitShare)]
    if written and (outer or lookups):
        raise NotImplementedError
    if written:
        total = written[0].grad if len(written) == 1 else torch.stack([s.grad for s in written]).sum(0)
        return _row_squares(total)
    joined = _join_outer(outer)
    lookup = _join_lookups(lookups)
    if lookup is None:
        assert joined is not None
        return _outer_norms(joined, gram)
    squares = _row_squares(lookup.grad)
    result = squares.new_zeros(units).index_add_(0, lookup.unit, squares)
    if joined is not None:
        result += _outer_norms(joined, gram) + 2.0 * _tied_cross_term(lookup, joined)
    return result


def weighted_sum(shares: Sequence[Share], weight: Tensor, shape: torch.Size, dropping: bool) -> Tensor:
    """Sum over units of ``weight`` (U,) times the unit's gradient, of one parameter of this ``shape``.

    ``dropping`` says that some weights are 0: such a unit adds exactly 0, whatever infinities it holds.
    """

    def silenced(x: Tensor, factor: Tensor) -> Tensor:
        return x.masked_fill(factor == 0, 0.0) if dropping else x  # 0 * inf is NaN, so multiplying is no help

    total: Tensor | None = None
    for share in shares:
        if isinstance(share, OuterShare):
            factor = weight[share.rows.unit][:, None]
            a, g = wide(share.activation), silenced(wide(share.output_grad), factor)
            if share.copies > 1:
                g = (g * factor).view(share.copies, -1, g.shape[1]).sum(0)
            elif a.shape[1] <= g.shape[1]:  # one of the two is scaled: the smaller
                a = silenced(a, factor) * factor
            else:
                a, g = silenced(a, factor), g * factor
            product = g.t() @ a
            total = product if total is None else total.add_(product)
    if total is None:
        total = weight.new_zeros(shape)
    total = total.view(shape)
    for share in shares:
        if isinstance(share, LookupShare):
            factor = weight[share.unit][:, None]
            total.index_add_(0, share.ids, silenced(share.grad, factor) * factor)
        elif isinstance(share, UnitShare):
            total.add_((weight @ silenced(share.grad, weight[:, None])).view(shape))
    return total


def _row_squares(x: Tensor) -> Tensor:
    squares: Tensor = torch.linalg.vecdot(x, x)
    return squares


def _join_outer(shares: Sequence[OuterShare]) -> OuterShare | None:
    """All calls of a shared layer as one call over all their rows: then cross terms need no thought."""
    shares = [s.alone() for s in shares]
    if len(shares) < 2:
        return shares[0] if shares else None
    units = shares[0].rows.units
    lengths = [s.rows.length for s in shares if s.rows.length is not None]
    if len(lengths) == len(shares):

        def side_by_side(parts: list[Tensor]) -> Tensor:
            return torch.cat([x.view(units, len(x) // units, -1) for x in parts], 1).flatten(0, 1)

        return OuterShare(
            side_by_side([s.activation for s in shares]),
            side_by_side([s.output_grad for s in shares]),
            Rows(side_by_side([s.rows.unit for s in shares]).flatten(), units, sum(lengths)),
        )
    return OuterShare(
        torch.cat([s.activation for s in shares]),
        torch.cat([s.output_grad for s in shares]),
        Rows(torch.cat([s.rows.unit for s in shares]), units, None),
    )


def _join_lookups(shares: Sequence[LookupShare]) -> LookupShare | None:
    if len(shares) < 2:
        return shares[0] if shares else None
    size = int(max(int(s.ids.max()) for s in shares)) + 1
    unit = torch.cat([s.unit for s in shares])
    rows = Rows(unit, int(unit.max()) + 1, None)
    return lookup_share(
        torch.cat([s.ids for s in shares]), torch.cat([s.grad for s in shares]), rows, size, None
    )


def _outer_norms(share: OuterShare, gram: Gram) -> Tensor:
    """(U,) squared norms, in the ghost form <A A^T, G G^T> or written out (G^T A), whichever is cheaper.

    For L rows of a d-to-p layer the ghost form costs 2 L^2 (d + p) operations, the direct one 2 L d p.
    """
    rows = share.rows
    result = wide(share.activation[:0]).new_zeros(rows.units)
    for members, index, gaps in rows.groups:
        a = rows.padded(share.activation, index, gaps)
        g = rows.padded(share.output_grad, index, gaps)
        length, d, p = a.shape[1], a.shape[2], g.shape[2]
        if length * (d + p) <= d * p:
            left = gram.of(share.activation, a) if members is None else _gram_blocks(a)
            inner = [y.mul_(x).sum((1, 2)) for x, y in zip(left, _gram_blocks(g), strict=True)]
            norms = inner[0] + inner[1] + 2.0 * inner[2]
        else:
            chunk = max(1, DIRECT_CHUNK // (d * p))
            norms = torch.cat(
                [
                    torch.linalg.vector_norm(y.mT @ x, dim=(1, 2)).square_()
                    for x, y in zip(torch.split(a, chunk), torch.split(g, chunk), strict=True)
                ]
            )
        if members is None:
            return norms
        result[members] = norms
    return result


def _tied_cross_term(lookup: LookupShare, outer: OuterShare) -> Tensor:
    """(U,) inner product of a unit's two gradients of a word matrix that is embedding and decoder at once.

    With e_k the gradient that the unit's word k receives as an embedding, and the decoder's gradient
    ``sum_s gdec_s h_s^T`` over its masked positions s: ``sum_k <e_k, sum_s gdec[s, word_k] h_s>``. So the
    word matrix is never written out: K words times S positions times the hidden size a unit.
    Left out, a release is 1.06 to 4.2 times too large (measured on Opacus ghost clipping and fastDP).
    """
    units = outer.rows.units
    result = lookup.grad.new_zeros(units)
    words = Rows(lookup.unit, units, None)
    in_outer = torch.bincount(outer.rows.unit, minlength=units)
    starts = in_outer.cumsum(0) - in_outer
    order = torch.argsort(outer.rows.unit, stable=True)
    if not len(order):
        return result
    for members, index, gaps in words.groups:
        assert members is not None and index is not None and gaps is not None
        embedded = words.padded(lookup.grad, index, gaps)  # (u, K, d)
        steps = torch.arange(int(in_outer[members].max()), device=order.device)
        positions = order[(starts[members, None] + steps).clamp(max=len(order) - 1)]  # (u, S)
        missing = (steps >= in_outer[members, None])[:, None, :] | gaps[:, :, None]  # (u, K, S)
        inner = embedded @ wide(outer.activation[positions]).mT
        picked = wide(outer.output_grad[positions[:, None, :], lookup.ids[index][:, :, None]])
        result[members] = (inner * picked).masked_fill_(missing, 0.0).sum((1, 2))
    return result
