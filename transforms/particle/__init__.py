"""Particle filtering as pure functions: weights, resampling, and a filter as ``init`` and ``step``.

Policy and reward model are passed in by whoever drives the filter: nothing here samples or scores.
"""
