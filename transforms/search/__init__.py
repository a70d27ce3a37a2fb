"""Search methods without a model: what to grow next, given what has grown and how it was scored."""
