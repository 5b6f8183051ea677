"""The strategy: its gradients, its wiring, what it derives, and that one seed gives one result."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from toy_search import Toy, run_toy

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.inheritance import inherit_weights
from jsnas.network import JSNet
from jsnas.sample import genotype_from_sample
from jsnas.strategy import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.alternating import AlternatingModule
from jsnas.strategy.choices import block_choice
from jsnas.strategy.gradients import first_order, second_order
from jsnas.strategy.nni_api import LayerChoice, ModelSpace
from jsnas.strategy.partial_channel import MixedAttention, MixedEdge, PartialChannelEdge, WeightedNode
from jsnas.strategy.pc_darts import PartialChannelModule
from search_spaces import AttentionSearchSpace, JointSearchSpace, OperationSearchSpace


def supernet(**settings: object) -> JointSearchSpace:
    torch.manual_seed(0)
    space = JointSearchSpace(modules=2, channels=16, inner_channels=8, inputs=settings.pop("inputs", None))
    return PartialChannelDARTS(PartialChannelSettings(**settings)).mutate_model(space)


# --- gradients -------------------------------------------------------------------------------------------------


def test_first_order_gradient_is_the_derivative_and_touches_no_weight_gradient() -> None:
    w, a = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(2.0))
    loss, (gradient,) = first_order(lambda: (w * a - 1) ** 2, [a])
    assert loss == 25 and gradient == 2 * 5 * 3
    assert w.grad is None and a.grad is None


def test_second_order_gradient_equals_the_closed_form() -> None:
    # L_train = (w - a)^2 / 2, L_val = (w' - 1)^2 / 2 with w' = w - xi (w - a): dL_val/da = (w' - 1) xi.
    w = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    a = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    xi = 0.1
    loss, (gradient,) = second_order(
        lambda: ((w - a) ** 2 / 2).sum(), lambda: ((w - 1) ** 2 / 2 + 0 * a).sum(), [w], [a], xi
    )
    unrolled = 3.0 - xi * (3.0 - 2.0)
    assert loss.item() == pytest.approx((unrolled - 1) ** 2 / 2)
    assert gradient.item() == pytest.approx((unrolled - 1) * xi)
    assert w.item() == 3.0 and w.grad is None and a.grad is None


def test_second_order_gradient_equals_autograd_through_the_unrolled_step() -> None:
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(5, 4, dtype=torch.float64))
    a = nn.Parameter(torch.randn(3, dtype=torch.float64))
    x, y = torch.randn(2, 7, 4, dtype=torch.float64), torch.randn(2, 7, 5, dtype=torch.float64)

    def loss(weights: Tensor, part: int) -> Tensor:
        mixed = torch.tanh(x[part] @ weights.T)
        s = torch.softmax(a, 0)
        return ((s[0] * mixed + s[1] * mixed**2 + s[2] * mixed.sin() - y[part]) ** 2).mean()

    before = w.detach().clone()
    _, (ours,) = second_order(lambda: loss(w, 0), lambda: loss(w, 1), [w], [a], 0.05, radius=1e-4)
    (step,) = torch.autograd.grad(loss(w, 0), w, create_graph=True)
    (exact,) = torch.autograd.grad(loss(w - 0.05 * step, 1), a)
    torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-8)
    assert torch.equal(w, before)


def test_the_architecture_step_computes_no_weight_gradient() -> None:
    space = supernet(partial=2)
    alphas = [p for name, p in space.named_parameters() if "_arch_" in name]
    x = 255 * torch.rand(1, 3, 16, 16)
    computed: list[str] = []
    for name, parameter in space.named_parameters():
        if "_arch_" not in name:
            parameter.register_hook(lambda g, name=name: computed.append(name))
    first_order(lambda: space(x).square().mean(), alphas)
    assert computed == []


# --- the mixed edges -------------------------------------------------------------------------------------------


def test_every_choice_is_replaced_and_shared_by_label() -> None:
    space = supernet()
    assert not any(type(m) is LayerChoice for m in space.modules())
    edges = [m for m in space.modules() if isinstance(m, MixedEdge)]
    assert len(edges) == 2 * 12
    assert len({id(e._arch_alpha) for e in edges}) == 12
    nodes = [m for m in space.modules() if isinstance(m, WeightedNode)]
    assert len(nodes) == 2 * 2 and len({id(n._arch_beta) for n in nodes}) == 2  # nodes 2 and 3 of the operations


class OneEdge(ModelSpace):
    def __init__(self) -> None:
        super().__init__()
        self.edge = block_choice("operation", (0, 1), 8, {"op": lambda c: nn.Conv2d(c, c, 1)})


@pytest.mark.parametrize("mask", ["first", "random"])
def test_only_one_channel_in_k_meets_the_candidates(mask: str) -> None:
    space = PartialChannelDARTS(PartialChannelSettings(partial=4, mask=mask)).mutate_model(OneEdge())
    edge = space.edge
    assert isinstance(edge, PartialChannelEdge)
    assert edge["op"].in_channels == 2
    edge.draw_mask(torch.Generator().manual_seed(1))
    with torch.no_grad():
        edge["op"].weight.zero_()
        edge["op"].bias.fill_(-1.0)
    x = torch.arange(1.0, 9).view(1, 8, 1, 1)
    y = edge(x).flatten().tolist()
    assert sorted(y)[:2] == [-1, -1]
    passed_on = sorted(v for v in y if v > 0)
    assert len(passed_on) == 6 and set(passed_on) <= set(range(1, 9))
    if mask == "first":  # channels 1, 2 mixed; groups of two interleaved by the shuffle
        assert y == [-1, 3, 5, 7, -1, 4, 6, 8]
    else:  # every channel keeps its place
        assert all(v == i or v == -1 for i, v in enumerate(y, start=1))


def test_mixed_attention_is_the_weighted_sum_of_its_candidates() -> None:
    space = supernet()
    edge = next(m for m in space.modules() if isinstance(m, MixedAttention))
    with torch.no_grad():
        edge._arch_alpha.copy_(torch.randn(len(edge.names)))
        x = torch.randn(2, 16, 17, 15)
        expected = sum(w * edge[name](x) for w, name in zip(edge.weights(), edge.names, strict=True))
        torch.testing.assert_close(edge(x), expected)


def test_k_must_divide_the_channels() -> None:
    with pytest.raises(InputError, match="K = 3"):
        supernet(partial=3)


def test_none_takes_part_and_never_wins() -> None:
    space = supernet()
    edge = next(m for m in space.modules() if isinstance(m, PartialChannelEdge))
    with torch.no_grad():
        edge._arch_alpha.copy_(torch.tensor([5.0, 0, 0, 1, 0, 0, 0]))
    assert edge.names[0] == "none" and edge.weights()[0] > 0.9
    module = PartialChannelModule(Toy(), PartialChannelSettings(), list)
    module.training_module.set_model(space)
    assert module.export()["operation_0_1"] == "rdb_sep"


# --- one wiring ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [None, 2])
def test_one_hot_supernet_equals_the_exported_network(kept: int | None) -> None:
    space = supernet(partial=1, edge_normalization=False, inputs=kept)
    generator = torch.Generator().manual_seed(3)
    sample: dict[str, object] = {}
    with torch.no_grad():
        for module in space.modules():
            if isinstance(module, MixedEdge):
                names = [n for n in module.names if n != "none"]
                chosen = sample.setdefault(
                    module.label, names[int(torch.randint(len(names), (1,), generator=generator))]
                )
                module._arch_alpha.fill_(-1e4)
                module._arch_alpha[module.names.index(chosen)] = 1e4
            elif isinstance(module, WeightedNode):
                sample.setdefault(module.label, [0, 2])
                module._softmax = KeepTwo()
        genotype = genotype_from_sample(sample, "sr", 2)
        network = JSNet(genotype, space.network.settings)
        network.load_state_dict(inherit_weights(space.state_dict(), genotype), strict=True)
        x = 255 * torch.rand(2, 3, 18, 20)
        expected = space(x)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


class KeepTwo(nn.Module):
    """Weights of a node that keeps its inputs 0 and 2 of three."""

    def forward(self, beta: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0, 1.0])


def test_spaces_of_one_part_derive_genotypes_of_one_part() -> None:
    strategy = PartialChannelDARTS()
    for space, parts in ((OperationSearchSpace(modules=1), (6, 0)), (AttentionSearchSpace(modules=1), (0, 6))):
        mutated = strategy.mutate_model(space)
        assert mutated(torch.rand(1, 3, 16, 16)).shape == (1, 3, 32, 32)
        module = AlternatingModule(Toy(), PartialChannelSettings(), list)
        module.training_module.set_model(mutated)
        genotype = genotype_from_sample(module.export(), "sr")
        assert (len(genotype.operations), len(genotype.attentions)) == parts


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"task": "sharpen"}, "sharpen"),
        ({"operation_nodes": 1}, "1 nodes"),
        ({"operation_nodes": 0, "attention_nodes": 0}, "nothing is searched"),
        ({"inputs": 0}, "keeps 0 inputs"),
        ({"operations": ["rdb_lihgt"]}, "rdb_light"),
        ({"operations": ["skip", "skip"]}, "Two candidate operations"),
        ({"attentions": ["no.such:Block"]}, "cannot be imported"),
        ({"attentions": ["os:path"]}, "no torch.nn.Module"),
    ],
)
def test_a_space_that_cannot_be_is_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        JointSearchSpace(**values)


# --- the search loop on a toy with a known best ----------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    import logging
    import warnings

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("second_order", [False, True])
def test_it_finds_the_planted_best_from_several_seeds(seed: int, second_order: bool) -> None:
    module, _ = run_toy(seed, second_order=second_order)
    assert module.export() == {"operation_0_1": "times_two", "operation_1_2": "times_one"}


def test_warm_up_counts_iterations_and_draws_no_architecture_batch() -> None:
    module, architecture = run_toy(0, steps=5)
    assert module.iteration == 5 and architecture.drawn == 0 and module.architecture_loss is None
    module, architecture = run_toy(0, steps=9)
    assert architecture.drawn == 4  # one persistent iterator, one batch a step


def test_both_adams_have_the_given_settings() -> None:
    module, _ = run_toy(0, steps=6, betas=(0.8, 0.9), weight_decay=0.01, learning_rate=0.07)
    adam = module.architecture_optimizer()
    assert isinstance(adam, torch.optim.Adam)
    assert adam.defaults["betas"] == (0.8, 0.9)
    assert adam.defaults["weight_decay"] == 0.01 and adam.defaults["lr"] == 0.07
    architecture = {id(p) for p in module.arch_parameters()}
    weights = {id(p) for group in module.weight_optimizer().param_groups for p in group["params"]}
    assert not weights & architecture and len(weights) == 6


ORDER = """
import warnings; warnings.filterwarnings("ignore")
import torch
from jsnas.strategy import PartialChannelDARTS
from jsnas.strategy.alternating import AlternatingModule
from search_spaces import JointSearchSpace
import sys; sys.path.insert(0, sys.argv[1])
from toy_search import Toy, run_toy
space = PartialChannelDARTS().mutate_model(JointSearchSpace(modules=1, channels=8, inner_channels=4))
inner = Toy(); inner.set_model(space)
module = AlternatingModule(inner, PartialChannelDARTS().settings, list)
names = {id(p): n for n, p in inner.named_parameters()}
print([names[id(p)] for p in module.arch_parameters()])
print([p.tolist() for p in module.arch_parameters()])
print([p.tolist() for p in run_toy(5, steps=20)[0].arch_parameters()])
"""


def test_parameter_order_and_result_are_the_same_from_process_to_process() -> None:
    folder = str(__file__).rpartition("/")[0]
    outputs = set()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", ORDER, folder],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PATH": "", "HOME": "/tmp", "OMP_NUM_THREADS": "1"},
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert "_arch_alpha" in outputs.pop()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"partial": 0}, "K"),
        ({"mask": "last"}, "'last'"),
        ({"weight_warmup_iters": -1}, "-1"),
        ({"learning_rate": 0.0}, "above 0"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PartialChannelSettings(**values)


def test_genotype_of_a_fresh_supernet_names_every_edge() -> None:
    module = PartialChannelModule(Toy(), PartialChannelSettings(), list)
    module.training_module.set_model(supernet(inputs=2))
    genotype = genotype_from_sample(module.export(), "sr", 2)
    assert isinstance(genotype, Genotype)
    assert len(genotype.operations) == len(genotype.attentions) == 1 + 2 + 2
