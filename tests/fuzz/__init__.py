"""Fuzzing of whatever reads what others wrote: atheris chooses the bytes. Not part of the tests; see `make fuzz`."""
