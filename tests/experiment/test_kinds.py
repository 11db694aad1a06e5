"""Each kind of experiment states itself in one place; the machinery asks it."""

import pytest
import yaml

from closura.experiment import load_experiment
from closura.experiment.kinds import KINDS, kind_named
from closura.report.kinds import PAGES
from closura.report.run_folder import STAGE_OF


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_offers_exactly_the_sections_of_its_skeleton(name):
    kind = kind_named(name)
    own = set(kind.skeleton.model_fields)
    refused = set(kind.sections) - own
    assert own <= set(kind.sections)
    for section in refused:  # offered, because the kind has a better line for it than "unknown"
        with pytest.raises(ValueError, match=f"'{section}' and .* exclude each other"):
            kind.tidy({section: "Lorenz96"}, "study.yaml")


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_a_name_a_report_and_a_page(name):
    kind = kind_named(name)
    assert kind.name == name
    assert kind.skeleton.model_fields["kind"]
    assert kind.stages[-1] == "report"
    assert name in PAGES
    assert set(STAGE_OF[name].values()) <= {*kind.stages, "online", "price"}


def test_the_resolved_experiment_says_its_kind(tiny):
    assert load_experiment(tiny).resolved()["kind"] == "simulated"


def test_an_unknown_kind_offers_the_nearest(tiny, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(tiny.read_text()) | {"kind": "simulatd"}))
    with pytest.raises(ValueError, match="no kind 'simulatd'; did you mean 'simulated'"):
        load_experiment(path)
