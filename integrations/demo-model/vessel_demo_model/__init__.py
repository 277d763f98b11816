"""What the demo models of Vessel are made from: the trained one, `assistant.gguf.gz`, and what builds the others.

`vessel_core.demo_models` makes files of them, and `LocalServer.demo` serves these.
"""
