"""How weights move: optimizers, gradients, learning rates."""
