"""The YAML of an experiment is read, changed and checked before anything runs."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from closura.experiment import load_experiment
from closura.experiment.document import bundled, parse
from experiment.junk import junk, load_or_one_line


@pytest.fixture
def written(tmp_path, tiny):
    """Write the tiny experiment with some top-level keys replaced; None removes one."""

    def write(**changes) -> Path:
        document = yaml.safe_load(tiny.read_text()) | changes
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
        return path

    return write


def test_lengths_that_are_not_given_are_filled_in(tiny):
    said = load_experiment(tiny).resolved()
    assert said["data"]["test_duration"] == pytest.approx(0.8)  # a fifth of 4
    assert said["seeds"] == 1
    assert said["coupling"] == {"at": None, "every": 1}


def test_what_is_resolved_is_read_back_as_the_same(tiny, tmp_path):
    first = load_experiment(tiny).resolved()
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(first, sort_keys=False))
    assert load_experiment(path).resolved() == first


def test_settings_are_changed_by_set(tiny):
    changes = [
        "learners.network.width=16",
        "learners.network.features.radius=2",
        "seeds=3",
        "data.duration=8",
        "coupling.every=2",
        "learners.quartic={type: Polynomial, degree: 4}",
        "expect.cubic.coefficients.1.below=-0.5",
    ]
    said = load_experiment(tiny, changes).resolved()
    assert said["learners"]["network"]["width"] == 16
    assert said["learners"]["network"]["features"] == {"type": "Stencil", "radius": 2}
    assert (said["seeds"], said["data"]["duration"], said["coupling"]["every"]) == (3, 8.0, 2)
    assert said["learners"]["quartic"]["degree"] == 4
    assert said["expect"]["cubic.coefficients.1"] == {"below": -0.5}


def test_a_bare_name_takes_settings_by_set(written):
    path = written(learners={"cubic": "Polynomial"})
    said = load_experiment(path, ["learners.cubic.degree=2"]).resolved()
    assert said["learners"]["cubic"] == {"type": "Polynomial", "degree": 2}


WRONG_SETS = {
    "learners.netwrk.width=3": "there is no 'netwrk' in learners; did you mean 'network'?",
    "learnrs.network.width=3": "has no 'learnrs'; did you mean 'learners'?",
    "learners.network.widht=3": "Network has no setting 'widht'; did you mean 'width'?",
    "learners.network.width": "has no value or no place",
    "=3": "has no value or no place",
    "seed.a=3": "an experiment has no 'seed.a'",
    "seeds=many": "seeds is 'many'",
    "seeds=[": "is not YAML",
    "learners.network.width.deeper=3": "learners.network.width is 8, which holds no 'deeper'",
}


@pytest.mark.parametrize("setting", [s for s in WRONG_SETS if s != "seed.a=3"])
def test_a_set_that_leads_nowhere_says_where_it_could(tiny, setting):
    with pytest.raises(ValueError) as caught:
        load_experiment(tiny, [setting])
    assert WRONG_SETS[setting] in str(caught.value)


def test_a_list_is_entered_by_number(tmp_path):
    from closura.experiment.document import change

    document = {"data": {"files": ["a.nc", "b.nc"]}}
    change(document, "data.files.1=c.nc", ("data",))
    assert document == {"data": {"files": ["a.nc", "c.nc"]}}
    with pytest.raises(ValueError, match="list of 2 entries and '2' is none of them"):
        change(document, "data.files.2=d.nc", ("data",))


WRONG = {
    "unknown section": ({"lerners": {}}, "has no 'lerners'; did you mean 'learners'?"),
    "unknown key": ({"evaluate": {"forcasts": 3}}, "evaluate has no 'forcasts'; did you mean '"),
    "missing section": ({"coarse": None}, "coarse is missing; add it."),
    "no data": ({"data": None}, "data is None; it must be a mapping"),
    "kind of value": ({"seed": "one"}, "seed is 'one'"),
    "negative length": (
        {"data": {"duration": -1.0, "every": 0.01}},
        "data.duration is -1.0; it should be greater than 0.",
    ),
    "not a number": (
        {"data": {"duration": math.nan, "every": 0.01}},
        "data.duration is nan",
    ),
    "target": (
        {"data": {"duration": 4.0, "every": 0.01, "target": "diference"}},
        "data.target is 'diference'; it should be 'difference' or 'coupling'.",
    ),
    "every that dt does not divide": (
        {"data": {"duration": 4.0, "every": 0.012}},
        "data.every is 0.012, which is no multiple of the time step of the truth, 0.005; the "
        "nearest that is: 0.01.",
    ),
    "lead that every does not divide": (
        {"evaluate": {"lead": 0.32, "every": 0.05}},
        "evaluate.lead is 0.32, which is no multiple of evaluate.every, 0.05",
    ),
    "no learners": ({"learners": {}}, "learners is {}"),
    "blank in a name": ({"learners": {"\n": "Linear"}}, r"learners.'\n' is '\n'; a name begins"),
    "name of a learner": ({"learners": {"a/b": "Linear"}}, "a name begins with a letter"),
    "reserved name": ({"learners": {"truth": "Linear"}}, "a learner cannot be named 'truth'"),
    "loop": (
        {"learners": {
            "a": {"type": "WithNoise", "learner": "b"},
            "b": {"type": "WithNoise", "learner": "a"},
        }},
        "learners need each other in a loop: a -> b -> a",
    ),
    "expectation": ({"expect": {"a": {"value": 3}}}, "value and within belong together"),
    "two expectations": ({"expect": {"a": {"above": 3, "below": 4}}}, "found above, below"),
    "expectation's key": ({"expect": {"a": {"abov": 3}}}, "has no 'abov'; did you mean 'above'?"),
    "files and truth": ({"data": {"files": "a.nc"}}, "'truth' and data.files exclude each other"),
    "model": ({"coarse": {"type": "Lorenz96", "k": 5}}, "Lorenz96 has no setting 'k'; did"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_one_line_that_says_what_to_do(written, wrong):
    changes, line = WRONG[wrong]
    with pytest.raises(ValueError) as caught:
        load_experiment(written(**changes))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_held_out_fractions_outside_0_and_1_are_refused(written):
    data = {"files": "a.nc", "held_out": {"fraction": 1.5}}
    path = written(data=data, truth=None, coarse=None, evaluate=None)
    with pytest.raises(
        ValueError, match=r"data.held_out.fraction is 1.5; it should be less than 1"
    ):
        load_experiment(path)


def test_learners_come_after_those_that_they_start_from(written):
    learners = {
        "tuned": {"type": "Online", "start": "network"},
        "network": {"type": "Network"},
    }
    path = written(learners=learners, expect=None)
    assert load_experiment(path).learners == ("network", "tuned")


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(FileNotFoundError, match="did you mean 'lorenz96'"):
        load_experiment("lorenz69")


def test_a_path_that_leads_nowhere_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_experiment(tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_experiment(tmp_path)


def test_numbers_are_read_as_scientists_write_them():
    assert parse("[1e-3, 2.5E4, -1e2, 2001-01-01]", "it") == [1e-3, 2.5e4, -1e2, "2001-01-01"]


ODD = [b"", b"\x00\xff\xfe", b"- 1\n- 2", b"a: &a [*a]", b"{a: 1", b"!!python/object:os.system {}",
       b"a: 1\na: 2", b"1: 2", b"? [1, 2]\n: 3", b"!!set {a, b}", b"!!int ''", b"a: !!binary x",
       b"\tname: x", b"%", b"a: *b", b"name: x\n---\nname: y", b"x" * 100, b"[" * 2000,
       b"a: !!bool maybe"]  # fmt: skip


@pytest.mark.parametrize("content", ODD, ids=[repr(c[:20]) for c in ODD])
def test_a_file_that_is_no_experiment_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_experiment(path)
    assert str(path.name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_that_make_a_small_text_endless_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="endless"):
        load_experiment(path)


quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(content=st.binary(max_size=200))
def test_random_bytes_never_end_in_a_traceback(tmp_path, content):
    path = tmp_path / "junk.yaml"
    path.write_bytes(content)
    load_or_one_line(path)


@quick
@given(document=st.dictionaries(st.sampled_from(
    ["name", "truth", "coarse", "data", "learners", "evaluate", "seed", "expect", "oops", "kind",
     "observe", "assimilate", "solvers", "increments"]),
    junk, max_size=6))  # fmt: skip
def test_random_documents_never_end_in_a_traceback(tmp_path, document):
    path = tmp_path / "junk.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    load_or_one_line(path)


@quick
@given(
    place=st.sampled_from(["truth", "coarse", "data", "evaluate", "learners", "expect"]), value=junk
)
def test_one_random_section_never_ends_in_a_traceback(written, place, value):
    load_or_one_line(written(**{place: value}))


WRONG_PATHS = {
    "cubc.coefficients.1": "begins with 'cubc'; did you mean 'cubic'?",
    "no closre.wasserstein_1": "begins with 'no closre'; did you mean 'no closure'?",
    "cubic.forecast_mae / nework.forecast_mae": "begins with 'nework'; did you mean 'network'?",
    "no closure.wasserstein": "is no score; did you mean 'wasserstein_1'?",
    "noise floor": "asks for '', which is no score.",
    "network.offline.overall_r_sqared": "no offline score; did you mean 'overall_r_squared'?",
    "network.offline.lost_chaos": "asks for 'lost_chaos', which is no offline score",
    "network.forecast_mae_first_unt": "did you mean 'forecast_mae_first_unit'?",
}


@pytest.mark.parametrize("path", WRONG_PATHS)
def test_an_expected_number_that_no_run_can_find_is_refused(written, path):
    with pytest.raises(ValueError) as caught:
        load_experiment(written(expect={path: {"above": 0}}))
    assert WRONG_PATHS[path] in str(caught.value)
    assert str(caught.value).startswith(f"expect: {path!r} ")


def test_attributes_of_closures_are_not_looked_for_before_the_fit(written):
    load_experiment(written(expect={"cubic.whatever.1": {"above": 0}}))


def test_every_bundled_experiment_loads():
    assert bundled()
    for name in bundled():
        assert load_experiment(name).name == name
