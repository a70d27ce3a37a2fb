"""Searches on real servers: one coroutine a question, many questions at once."""
