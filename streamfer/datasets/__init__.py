"""Micro- and macro-expression data sets, read as they are distributed."""
