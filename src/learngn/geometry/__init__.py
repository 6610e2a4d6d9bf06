"""Grids, images, sampling and transforms: all coordinate arithmetic and all interpolation."""
