"""Who judges partial solutions: process reward models behind the ``Scorer`` protocol."""
