"""Compiled inner loops: free functions over arrays, no knowledge of files or messages."""
