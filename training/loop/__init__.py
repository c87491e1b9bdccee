"""The training loop: state, optimisation, flow matching."""
