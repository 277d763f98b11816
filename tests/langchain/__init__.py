"""Tests of the LangChain face."""
