"""The network: the only package that names httpx, and the only I/O of the core. The first call loads httpx.

- Connections are our own (`plain`, `plain_async`) or, through a proxy, httpx's (`proxied`). Those, and the transport
  of httpx's kind that a user gives, are called by `through_httpx`.
- One pool of connections a process (a forked child makes its own), one an event loop, closed with the loop.
- No redirects, no proxy for local hosts, no compression asked for, a TLS context for https only.
- Idle connections are dropped after 4 s: llama.cpp and LM Studio close theirs after 5 (quirk 87).
"""
