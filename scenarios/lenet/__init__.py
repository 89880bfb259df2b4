"""Classification of handwritten digits with LeNet-5."""
