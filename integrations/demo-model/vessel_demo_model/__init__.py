"""The trained demo model of Vessel, and nothing else: `assistant.gguf.gz`, for `LocalServer.demo("assistant")` to serve."""
