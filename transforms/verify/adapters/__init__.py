"""The verifier for other libraries: ``trl_reward``, ``inspect_scorer``, ``lighteval_metric``.

Each module is imported by whoever uses its library; nothing in butwait imports them.
"""
