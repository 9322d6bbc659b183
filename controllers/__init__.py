"""The Hamiltonian, its argmax as a differentiable fixed point, the value function and the policy."""
