"""Engines that answer sample requests: vLLM over HTTP, and transformers where vLLM is missing."""
