"""Studies with the client: create, list, close, read the results, erase."""

import httpx
import pytest

from lipe_client import Client, Problem
from tests.support.uploads import png


def test_from_a_new_study_to_its_results(lipe: Client, server: str) -> None:
    red, green = (lipe.upload_image(png(colour)) for colour in ("red", "green"))
    item = {"results": {"a": red.id, "b": green.id}, "prompt": "a colour"}
    study = lipe.create_study(
        "Colours", items=[item], questions=["satisfaction"], attention_checks=0, exclusion={"min_median_seconds": 0}
    )
    assert (study.state, study.systems, study.questions_per_rater) == ("open", ("a", "b"), 1)
    assert study.exclusion["min_median_seconds"] == 0
    assert [one.id for one in lipe.studies()] == [study.id]
    with pytest.raises(Problem, match="study_open"):
        lipe.study_results(study)

    headers = {"X-Study-Token": study.rater_token or "", "X-Rater-Session": "0" * 20}
    answer = {"number": 1, "answer": "left", "seconds": 2}
    httpx.post(f"{server}/v1/ratings", json=answer, headers=headers).raise_for_status()
    assert lipe.study(study).answers == 1
    assert lipe.close_study(study).state == "closed"
    results = lipe.study_results(study)
    (question,) = results.questions
    assert (results.answers_used, [one.excluded for one in results.raters]) == (1, [()])
    assert {system.share.value for system in question.systems} == {0, 1}
    assert lipe.study_answers(study).startswith("study,rater,excluded,")
    lipe.delete_study(study)
    with pytest.raises(Problem, match="not_found"):
        lipe.study(study)


def test_only_edits_can_be_systems(lipe: Client) -> None:
    rex = lipe.create_subject(
        name="Rex", class_noun="dog", references=[lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    )
    training = lipe.train_prior(rex)
    with pytest.raises(ValueError, match="is no edit"):
        lipe.create_study("Dogs", systems={"a": [training], "b": ["edt_1"]})
    with pytest.raises(Problem, match="not_found") as refusal:
        lipe.create_study("Dogs", systems={"a": ["edt_1"], "b": ["edt_2"]})
    assert refusal.value.body["param"] == "systems.a[0]"
