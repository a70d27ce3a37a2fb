"""Evaluations: every arm of a recipe sampled and verified like a build, and written as cells."""
