"""Reading handwritten digits with LeNet-5."""
