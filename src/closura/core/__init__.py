"""The contracts (State, Model, Closure, Learner) and the verbs that need nothing but JAX."""
