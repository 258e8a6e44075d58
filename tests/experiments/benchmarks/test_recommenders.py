"""The benchmarks of training steps on a small synthetic data set."""

from experiments.benchmarks.epochs import ours as epochs
from experiments.benchmarks.recommenders import ours as recommenders


def test_one_model_and_its_seeds(run_tiny):
    record, text = run_tiny(recommenders)
    model = record["models"]["light_gcn"]
    assert model["speed_up"] == 1 and model["steps"] > 0
    assert {len(s) for s in record["seeds"]["light_gcn"]["seconds"].values()} == {1}
    assert "steps/s" in text


def test_the_cost_of_an_epoch(run_tiny):
    record, text = run_tiny(epochs)
    cost = record["methods"]["light_gcn"]
    assert len(cost["seconds"]) == 1 and cost["parameters"] > 0
    assert "parameters" in text
