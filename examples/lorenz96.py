"""The loop in ten lines: learn what Lorenz-96 lacks, couple it, and compare with no closure.

python examples/lorenz96.py
"""

import jax

import closura as cl


def main() -> None:
    """Run the loop at reduced length and print the scores."""
    jax.config.update("jax_enable_x64", True)
    truth = cl.Lorenz96TwoScale(K=8, J=32, F=20.0, h=1.0, b=10.0, c=10.0, dt=0.001)
    coarse = cl.Lorenz96(K=8, F=20.0, dt=0.005)
    keys = jax.random.split(jax.random.key(0), 4)

    run, test = (
        cl.simulate(truth, duration=30.0, spinup=10.0, every=0.005, members=4, key=key)
        for key in keys[:2]
    )
    pairs = cl.diagnose(run, truth=truth, coarse=coarse, target="coupling")
    cubic = cl.Polynomial(degree=3).fit(pairs)
    network = cl.Network(features=cl.Stencil(radius=2), width=16, epochs=15).fit(pairs, key=keys[2])

    hybrids = {"cubic": cl.couple(coarse, cubic), "network": cl.couple(coarse, network)}
    scores = cl.evaluate(hybrids, truth=test, baselines={"no closure": coarse}, key=keys[3])
    print(cubic)
    print(scores)


if __name__ == "__main__":
    main()
