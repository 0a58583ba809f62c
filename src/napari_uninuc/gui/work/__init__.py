"""What is asked of the worker: answers, outlining, reading, keeping, the model."""
