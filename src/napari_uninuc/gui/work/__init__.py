"""What is asked of the worker: answers, outlining, reading, saving, the model."""
