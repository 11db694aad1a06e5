"""Names and settings become objects, and every mistake is one line with a remedy."""

import pytest

from closura.core.closure import Zero
from closura.core.model import AbstractODE
from closura.models.lorenz96 import Lorenz96
from closura.registry import REGISTRY, build, describe


class Mine(AbstractODE):
    """A model from outside the package."""

    rate: float = 1.0
    dt: float = 0.1
    stepper: object = None

    @property
    def variables(self):
        return ()

    def initial_state(self, key):
        return ()

    def tendency(self, state, inputs=None):
        return state


def test_a_name_alone_builds_the_class_with_its_defaults():
    assert isinstance(build("models", "Lorenz96"), Lorenz96)


def test_settings_are_passed_and_whole_numbers_become_floats_where_floats_are_wanted():
    model = build("models", {"type": "Lorenz96", "K": 9, "F": 20})
    assert (model.K, model.F) == (9, 20.0)
    assert isinstance(model.F, float)


@pytest.mark.parametrize("stepper", ["Euler", "euler", {"type": "Euler"}])
def test_a_stepper_can_be_named_in_three_ways(stepper):
    assert build("models", {"type": "Lorenz96", "stepper": stepper}).stepper.order == 1


def test_nested_types_are_built_and_lists_become_tuples():
    network = build(
        "learners",
        {"type": "Network", "features": {"type": "Stencil", "radius": 2, "variables": ["X"]}},
    )
    assert (network.features.radius, network.features.variables) == (2, ("X",))


def test_a_learner_is_built_inside_a_learner():
    noisy = build("learners", {"type": "WithNoise", "learner": "Polynomial", "noise": "White"})
    assert type(noisy.learner).__name__ == "Polynomial"
    assert type(noisy.noise).__name__ == "White"


def test_a_dotted_path_leads_to_a_class_of_the_users_own(monkeypatch):
    monkeypatch.setattr("closura.core.model.Mine", Mine, raising=False)
    assert build("models", {"type": "closura.core.model.Mine", "rate": 2}).rate == 2.0


def test_what_a_bare_string_means_can_be_resolved_by_the_caller():
    def resolve(text, wanted):
        return Zero() if text == "network" and "closures" in wanted else None

    online = build(
        "learners",
        {"type": "Online", "start": "network", "model": "Lorenz96", "window": 64},
        resolve=resolve,
    )
    assert isinstance(online.start, Zero)


WRONG = {
    "unknown setting": (
        "learners",
        {"type": "Linear", "rigde": 64},
        "Linear has no setting 'rigde'; did you mean 'ridge'? It takes: features, ridge.",
    ),
    "unknown type": (
        "models",
        "Lorenz69",
        "there is no 'Lorenz69' among the models; did you mean 'Lorenz96'?",
    ),
    "type of another kind": (
        "models",
        "Stencil",
        "Stencil is one of the features; wanted one of the models.",
    ),
    "text for a number": (
        "models",
        {"type": "Lorenz96", "K": "eight"},
        "K is 'eight'; Lorenz96 wants a whole number.",
    ),
    "fraction for a whole number": (
        "models",
        {"type": "Lorenz96", "K": 8.5},
        "K is 8.5; Lorenz96 wants a whole number.",
    ),
    "truth value for a number": (
        "models",
        {"type": "Lorenz96", "F": True},
        "F is True; Lorenz96 wants a number.",
    ),
    "choice": (
        "models",
        {"type": "Lorenz96TwoScale", "scaling": "rap"},
        "scaling is 'rap'; it must be 'lorenz' or 'rasp'.",
    ),
    "number for an object": (
        "learners",
        {"type": "Linear", "features": 3},
        "features is 3; Linear wants one of the features.",
    ),
    "unknown nested type": (
        "learners",
        {"type": "Linear", "features": "Wole"},
        "features: there is no 'Wole' among the features; did you mean 'Whole'?",
    ),
    "invariant of the class": (
        "models",
        {"type": "Lorenz96", "K": 3},
        "K is 3; the advection needs a ring of at least 4 points.",
    ),
    "missing setting": (
        "learners",
        {"type": "WithNoise"},
        "WithNoise needs 'learner'; add it. It takes: learner, noise.",
    ),
    "no type": ("models", {"K": 3}, "wanted a name or a mapping with a type"),
    "type that is no text": ("models", {"type": [1]}, "wanted a name or a mapping with a type"),
    "foreign module": ("models", "mylab.models.Mine", "cannot import 'mylab.models.Mine'"),
    "foreign class": ("models", "math.Mine", "there is no 'Mine' in 'math'."),
    "foreign class of another kind": ("models", "pathlib.Path", "derive it from AbstractModel."),
    "dots": ("models", "...", "there is no '' in '..'."),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_one_line_that_says_what_to_do(wrong):
    kind, spec, line = WRONG[wrong]
    with pytest.raises(ValueError) as caught:
        build(kind, spec)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_place_in_the_experiment_begins_the_line():
    with pytest.raises(ValueError, match=r"^learners\.network: Linear has no setting 'width'"):
        build("learners", {"type": "Linear", "width": 3}, path="learners.network")
    with pytest.raises(ValueError, match=r"^a\.features: Stencil: radius is -1"):
        build(
            "learners", {"type": "Linear", "features": {"type": "Stencil", "radius": -1}}, path="a"
        )


@pytest.mark.parametrize("kind", REGISTRY)
def test_every_registered_name_says_what_it_is(kind):
    assert all(describe(kind).values())


def test_a_list_of_types_is_built_where_anything_is_allowed():
    nudging = build(
        "closures",
        {
            "type": "Nudging",
            "timescale": {"u": "6 hours"},
            "taper": [{"type": "BoundaryLayer", "width": 0.1}, {"type": "Sponge"}],
        },
    )
    assert [type(taper).__name__ for taper in nudging.taper] == ["BoundaryLayer", "Sponge"]
    assert nudging.taper[0].width == 0.1
    assert nudging.timescale == {"u": "6 hours"}
