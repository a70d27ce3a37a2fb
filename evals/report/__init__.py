"""One page about a run: what it holds, counted from its files and drawn."""
