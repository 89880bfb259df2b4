"""Words of a command line in, a typed, frozen `RunConfig` out, every problem at once."""
