"""Talking to the Hub: patient calls, who may write, what a push changes, commits and tags."""
