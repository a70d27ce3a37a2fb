"""Copies of benchmark problems among questions."""

from butwait.transforms.decontaminate.detector import (
    DETECTOR_VERSION,
    Detector,
    Hit,
    Target,
    Thresholds,
)

__all__ = ["DETECTOR_VERSION", "Detector", "Hit", "Target", "Thresholds"]
