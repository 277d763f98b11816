"""The version of the four distributions; a test holds it to their project files.

It is written here because looking it up reads files, which may not happen inside an event loop: LangGraph's server refuses it.
"""

VERSION = "0.1.0"
