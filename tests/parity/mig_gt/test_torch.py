"""MIG-GT against an independent PyTorch implementation of the paper's equations."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.mig_gt.config import preset
from tests.parity.mig_gt.case import CASES, MODES, Case, inputs, stored_case
from tests.parity.mig_gt.ours import assert_equal_results, ours, x64

torch = pytest.importorskip("torch")

from experiments.benchmarks.mig_gt_epoch import peer  # noqa: E402
from tests.parity.mig_gt.theirs import reference, torch_model  # noqa: E402

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def _one_thread_and_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@st.composite
def cases(draw):
    hops = st.integers(-1, 3)
    case = Case(
        hops_id=draw(hops),
        hops=draw(st.lists(hops, min_size=1, max_size=3).map(tuple)),
        samples=draw(st.sampled_from([0, 1, 3, 7])),
        item_embeddings=draw(st.booleans()),
        negatives=draw(st.sampled_from([1, 5])),
        alpha=draw(st.sampled_from([0.1, 0.2, 0.5])),
        beta=draw(st.sampled_from([0.9, 0.7])),
        mix=draw(st.sampled_from([0.1, 0.5])),
        l2=draw(st.sampled_from([0.0, 0.01, 1.0])),
        n_users=draw(st.integers(1, 7)),
        n_items=draw(st.integers(3, 9)),
        batch=draw(st.integers(1, 12)),
        seed=draw(st.integers(0, 2**20)),
    )
    if case.hops_id < 0 and max(case.hops) < 0:
        case = dataclasses.replace(case, hops_id=0)
    return case


@settings(max_examples=12)
@given(case=cases(), mode=st.sampled_from(MODES))
def test_random_problems(case, mode):
    record = reference(case)
    with x64():  # few items can share a value, whose batch norm float32 cannot resolve
        result = ours(case, record, mode, jnp.float64)
    assert_equal_results(result, record, mode, rtol=1e-5, floor=1e-2)


@pytest.mark.parametrize("name", CASES)
def test_references_are_current(name):
    case, stored = stored_case(name)
    fresh = reference(case)
    assert stored.keys() == fresh.keys()
    for key, value in fresh.items():
        np.testing.assert_allclose(stored[key], value, rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("propagation", ["transposed", "index_add"])
def test_ways_to_propagate_agree(propagation):
    want, got = reference(CASES["baby"]), reference(CASES["baby"], propagation)
    for key, value in want.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-9, atol=1e-12, err_msg=key)


def test_transposed_gradient_with_unequal_directions():
    graph = peer.Graph(torch.tensor([[0, 0], [0, 1], [1, 1]]), 2, 2).double()
    values, x = torch.rand(10).double(), torch.rand(4, 3).double()
    grads = []
    for how in ("csr", "transposed", "index_add"):
        x = x.detach().requires_grad_()
        (graph.product(values, x, how) ** 2).sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[1], grads[0])
    torch.testing.assert_close(grads[2], grads[0])


@pytest.mark.parametrize(
    ("alpha", "beta", "hops", "want"),
    [
        (0.1, 0.9, 0, [1.0, 2.0, 3.0, 4.0]),
        (0.1, 0.9, 1, [2.70227, 2.569694, 2.017423, 2.634847]),
        (0.1, 0.9, 2, [2.442384, 2.324467, 2.200718, 2.945301]),
        (0.2, 0.7, 1, [2.471098, 2.492328, 2.150860, 2.820238]),
        (0.2, 0.7, 2, [2.246234, 2.301733, 2.304914, 3.074938]),
    ],
)
def test_propagation_by_hand(alpha, beta, hops, want):
    graph = peer.Graph(torch.tensor([[0, 0], [0, 1], [1, 1]]), 2, 2).double()
    x = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)
    y = peer.mgdcf(graph, x, graph.values, hops, peer.Config(alpha=alpha, beta=beta))
    np.testing.assert_allclose(y[:, 0].numpy(), want, atol=6e-7)


def test_transformer_and_its_regularisation_by_hand():
    layer = peer.GlobalTransformer(peer.Config(width=2, attention_width=2))
    memory = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]])
    with torch.no_grad():
        for linear in (layer.query, layer.key):
            linear.weight.copy_(torch.eye(2))
        attended = layer(memory)
        for linear in (layer.query, layer.key):
            linear.weight.zero_()
        averaged = layer(memory)
    want = [[0.980222, 0.079666], [0.023208, 1.972253], [0.959889, 1.020334]]
    np.testing.assert_allclose(attended[0].numpy(), want, atol=6e-7)
    want = [[0.966667, 0.1], [0.066667, 1.9], [0.966667, 1.0]]
    np.testing.assert_allclose(averaged[0].numpy(), want, atol=6e-7)
    logits = attended[0] @ torch.tensor([1.0, -1.0])
    np.testing.assert_allclose(logits.numpy(), [0.900556, -1.949045, -0.060445], atol=6e-7)
    np.testing.assert_allclose(-logits.log_softmax(0)[0], 0.364905, atol=6e-7)


def test_losses_of_equal_vectors():
    case = dataclasses.replace(CASES["five_negatives"], l2=0.0)
    arrays = inputs(case)
    model = torch_model(case, arrays)
    ones = torch.ones(case.n_users + case.n_items, 6, dtype=torch.float64)
    memories = torch.ones(len(ones), 1 + case.samples, 6, dtype=torch.float64)
    batch = [torch.from_numpy(arrays[k]) for k in ("user", "item", "negatives")]
    parts = model.losses(ones, memories, *batch)
    assert math.isclose(parts["rank"], case.batch * math.log(6), rel_tol=1e-9)
    assert math.isclose(parts["tur"], case.batch * math.log(1 + case.samples), rel_tol=1e-9)
    assert float(parts["l2"]) == 0.0


def test_dropout_only_in_training_and_unbiased():
    pairs = torch.tensor([[0, 0], [0, 1], [1, 1]])
    features = {"text": torch.randn(2, 5)}
    rates = {f"drop_{n}": 0.0 for n in ("input", "hidden", "user", "item", "edge", "fused")}
    config = peer.Config(width=4, hidden=3, hops={"text": 1}, transformer=False, hops_id=1, **rates)
    torch.manual_seed(1)
    plain = peer.MigGt(pairs, 2, 2, features, config)
    dropped = peer.MigGt(pairs, 2, 2, features, dataclasses.replace(config, drop_edge=0.5))
    dropped.load_state_dict(plain.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(dropped.eval()()[0], plain.eval()()[0])
        plain.train(), dropped.train()
        want = plain()[0]
        mean = torch.stack([dropped()[0] for _ in range(500)]).mean(0)
    assert not torch.equal(dropped()[0], want)
    torch.testing.assert_close(mean, want, atol=0.3, rtol=0.0)


@pytest.mark.parametrize(
    ("rate", "decay", "floor"), [(1e-2, 0.99, 0.0), (1e-2, 0.99, 1e-3), (1e-3, 0.999, 1e-4)]
)
def test_learning_rate_decay_stops_above_its_floor(rate, decay, floor):
    config = peer.Config(
        width=2, hops={}, learning_rate=rate, decay=decay, decay_floor=floor, transformer=False
    )
    pairs = torch.tensor([[0, 0]])
    trainer = peer.Trainer(peer.MigGt(pairs, 1, 1, {}, config), pairs)
    rates = [rate]
    for _ in range(400):
        trainer.decay()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    steps = 400 if floor == 0 else math.floor(math.log(floor / rate) / math.log(decay))
    want = [rate * decay ** min(n, steps) for n in range(401)]
    np.testing.assert_allclose(rates, want, rtol=1e-9)


def test_an_epoch_sees_every_pair_once():
    pairs = torch.stack([torch.arange(7), torch.arange(7) % 3], dim=1)
    seen = list(peer.batches(pairs, 3, peer.Config(batch_size=3, negatives=2)))
    assert [len(users) for users, _, _ in seen] == [3, 3, 1]
    assert sorted(torch.cat([users for users, _, _ in seen]).tolist()) == list(range(7))
    assert all(
        (items == users % 3).all() and n.shape == (len(users), 2) for users, items, n in seen
    )


def test_training_lowers_the_loss():
    case = CASES["baby"]
    arrays = inputs(case)
    trainer = peer.Trainer(torch_model(case, arrays), torch.from_numpy(arrays["pairs"]))
    losses = [trainer.epoch() for _ in range(30)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_the_peer_has_the_settings_of_the_preset():
    run, config = preset("mig_gt", "amazon_baby"), peer.Config()
    model, optim = run.model, run.optim
    same = {
        "width": model.width,
        "hidden": model.hidden,
        "hops_id": model.id_hops,
        "hops": dict(zip(model.modalities, model.hops, strict=True)),
        "alpha": model.alpha,
        "beta": model.beta,
        "item_embeddings": model.item_embedding,
        "drop_input": model.input_dropout,
        "drop_hidden": model.hidden_dropout,
        "drop_user": model.user_dropout,
        "drop_item": model.item_dropout,
        "drop_edge": model.edge_dropout,
        "drop_fused": model.fused_dropout,
        "transformer": model.samples > 0,
        "samples": model.samples,
        "attention_width": model.attention_width,
        "mix": model.mix,
        "negatives": optim.negatives,
        "l2": model.l2,
        "learning_rate": optim.learning_rate,
        "decay": optim.decay,
        "decay_floor": optim.floor,
        "batch_size": optim.batch_size,
    }
    assert {**same, "propagation": config.propagation} == dataclasses.asdict(config)
    assert model.tur_weight == 1.0
    assert optim.sampler == "uniform"
