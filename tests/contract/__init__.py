"""What LangChain users want of a chat model on a local server, measured for Vessel and for its peers."""
