import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.prior import LogNormal, Normal, Prior, TruncatedNormal, Uniform

MARGINALS = [
    Normal(2.0, 3.0),
    LogNormal(9.0, 2.0),
    LogNormal.from_logarithm(2.0, 0.3),
    Uniform(-1.0, 4.0),
    TruncatedNormal(1.0, 2.0, 0.0, 3.0),
    TruncatedNormal(0.0, 1.0, 6.0, np.inf),  # far in the upper tail
    TruncatedNormal(0.0, 1.0, -np.inf, -6.0),
    TruncatedNormal(0.0, 1.0, -np.inf, np.inf),
]


@pytest.mark.parametrize("marginal", MARGINALS, ids=repr)
def test_the_two_maps_undo_each_other_and_increase(marginal):
    positions = jnp.linspace(-3, 3, 13)
    parameters = marginal.from_normal(positions)
    np.testing.assert_allclose(marginal.to_normal(parameters), positions, atol=1e-6)
    assert (jnp.diff(parameters) > 0).all()


@pytest.mark.parametrize("marginal", MARGINALS, ids=repr)
def test_the_density_integrates_to_one(marginal):
    edges = marginal.from_normal(jnp.linspace(-8, 8, 40_001))
    middle = (edges[1:] + edges[:-1]) / 2
    total = (jnp.exp(marginal.log_density(middle)) * jnp.diff(edges)).sum()
    np.testing.assert_allclose(total, 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("marginal", "outside"),
    [(Uniform(0.0, 1.0), 1.5), (LogNormal(1.0, 1.0), -0.5), (TruncatedNormal(0, 1, -1, 2), 2.5)],
)
def test_there_is_no_density_outside_the_bounds(marginal, outside):
    assert marginal.log_density(jnp.asarray(outside)) == -jnp.inf


def test_a_lognormal_has_the_mean_and_deviation_it_is_given(key):
    draws = LogNormal(9.0, 2.0).from_normal(jax.random.normal(key, (200_000,)))
    np.testing.assert_allclose([draws.mean(), draws.std()], [9.0, 2.0], rtol=0.01)


def test_whole_numbers_and_lists_are_taken():
    prior = Prior(F=Normal(8, 2), h=Uniform([0, 1, 2], 5))
    assert prior.size == 4
    assert prior.labels == ("F", "h[0]", "h[1]", "h[2]")


def test_parameters_are_found_again_from_their_position():
    prior = Prior(b=Normal(1.0, 2.0), a=LogNormal(jnp.array([1.0, 2.0, 3.0]), 0.5))
    position = jnp.array([0.3, -1.0, 0.5, 2.0])
    np.testing.assert_allclose(prior.position(prior.parameters(position)), position, atol=1e-12)


def test_the_order_of_parameters_survives_jit(key):
    prior = Prior(b=Normal(10.0, 0.1), a=Normal(-10.0, 0.1), c=Normal(0.0, 0.1))
    found = jax.jit(prior.spread_out)(prior.draw(7, key=key))
    assert tuple(prior.spread_out(prior.draw(7, key=key))) == ("b", "a", "c")
    back = jax.jit(prior.position)({name: values[0] for name, values in found.items()})
    np.testing.assert_allclose(back, prior.draw(7, key=key)[:, 0], atol=1e-10)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Normal(0.0, 0.0), r"Normal: deviation is 0.0; it must be positive and finite"),
        (lambda: Normal(np.nan, 1.0), r"Normal: mean is nan; it must be finite"),
        (lambda: LogNormal(-1.0, 1.0), r"LogNormal: mean is -1.0; it must be positive"),
        (lambda: LogNormal(1.0, -1.0), r"LogNormal: deviation is -1.0; it must be positive"),
        (lambda: Uniform(2.0, 1.0), r"lower is 2.0 and upper 1.0; lower must be below upper"),
        (lambda: Uniform(0.0, np.inf), r"both must be finite. For one bound only use Truncated"),
        (lambda: TruncatedNormal(0.0, 1.0, 3.0, 3.0), r"lower must be below upper"),
        (lambda: Prior(), r"no parameter is named; write Prior\(F=Normal"),
        (lambda: Prior(F=8.0), r"F is 8.0; give its distribution, e.g. F=Normal\(mean"),
        (lambda: Prior(F=Normal(0.0, 1.0)).position({"h": 1.0}), r"are h; the prior names F"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(make, line):
    with pytest.raises(ValueError, match=line):
        make()


def test_a_long_prior_prints_itself_in_twelve_lines():
    prior = Prior(**{f"p{number}": Normal(0.0, 1.0) for number in range(30)})
    assert len(repr(prior).splitlines()) == 12
    assert "and 20 more" in repr(prior)


def test_a_parameter_outside_its_prior_is_refused():
    prior = Prior(F=Uniform(6.0, 14.0), h=LogNormal(1.0, 0.5))
    with pytest.raises(ValueError) as caught:
        prior.position({"F": 20.0, "h": 1.0})
    assert str(caught.value) == (
        "F is 20.0, and its prior, Uniform, holds what lies between 6.0 and 14.0; give a value "
        "inside, or widen the prior."
    )
    with pytest.raises(
        ValueError, match=r"h is -1\.0, and its prior, LogNormal, holds what lies be"
    ):
        prior.position({"F": 7.0, "h": -1.0})
