"""The numbers of activations in a `.closura` file."""

# Never use one again for something else.
ACTIVATION_CODES = {
    "none": 0, "relu": 1, "leaky_relu": 2, "elu": 3, "gelu": 4, "silu": 5, "softplus": 6,
    "sigmoid": 7, "tanh": 8,
}  # fmt: skip
ACTIVATION_NAMES = {number: name for name, number in ACTIVATION_CODES.items()}
