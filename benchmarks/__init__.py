"""Side by side with the peers: `make bench` measures, `make bench-check` compares call counts with a stored baseline.

wire      the bytes that llama.cpp and Ollama send
stub      a server in its own process that plays them
clients   everything that is measured, under one set of names
worker    one client in a process of its own, which measures itself on command
figures   the table: what is measured against what, and the aims
run       the rounds, interleaved; prints the table, writes results and plots
counts    Python calls per token on a fixed stream: a regression shows without timing noise
"""
