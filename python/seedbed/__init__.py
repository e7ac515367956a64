"""Keras initializers at memory speed."""
