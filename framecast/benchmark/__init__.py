"""Recipes to rows of results: train or take weights, score, write down."""

from framecast.benchmark.run import carry_out
from framecast.benchmark.trials import planned

__all__ = ["carry_out", "planned"]
