"""Answers QuPath and our own windows over HTTP, with the engine that everything else uses."""
