"""Settings: YAML and dotted overrides, and a sentence for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from jsnas.errors import InputError
from trainers.config import Config
from trainers.config_file import load_config, shipped_configs
from trainers.config_help import settings_help

TASKS = {
    **{f"sr-x{s}": ("sr", s, None, None) for s in (2, 3, 4)},
    **{f"denoise-{s}": ("denoise", 1, s, None) for s in (10, 30, 50, 70)},
    **{f"deblock-{q}": ("deblock", 1, None, q) for q in (10, 20, 30, 40)},
}


@pytest.mark.parametrize("name", TASKS)
def test_shipped_configs_are_the_papers(name: str) -> None:
    config = load_config(name)
    assert (config.task, config.scale, config.sigma, config.quality) == TASKS[name]
    # Sec. 4.1.2 and 4.1.3
    assert (config.search.modules, config.search.operation_nodes, config.search.attention_nodes) == (4, 4, 4)
    assert (config.search.total_iter, config.search.weight_warmup_iters) == (400_000, 20_000)
    assert (config.search.learning_rate, config.search.betas, config.search.weight_decay) == (1e-4, (0.9, 0.999), 0)
    assert config.strategy.args["partial"] == 4
    assert (config.strategy.args["learning_rate"], config.strategy.args["weight_decay"]) == (1e-3, 1e-3)
    assert (config.datasets.patch_size, config.datasets.batch_size) == (64, 16)
    assert config.network.modules == (5 if config.task == "sr" else 6)
    assert (config.train.total_iter, config.train.learning_rate, config.train.halve_every) == (10**6, 2e-4, 200_000)


def test_every_shipped_config_is_covered_and_the_demo_differs_in_numbers_only() -> None:
    assert set(shipped_configs()) == {
        *TASKS,
        *("demo", "demo-denoise", "demo-deblock", "quick", "tournament"),
        *(f"ablation-{table}" for table in range(2, 6)),
    }
    demo, paper = load_config("demo"), load_config("sr-x2")
    assert (demo.task, demo.scale, demo.strategy.name) == (paper.task, paper.scale, paper.strategy.name)


def test_the_resolved_config_is_read_back_equal(tmp_path: Path) -> None:
    overrides = ["--train.total_iter", "7", "--network.fusion_kernels=null", "--search.operations=[none, skip]"]
    config = load_config("denoise-30", [*overrides, "--strategy.args.mask", "random"])
    assert config.train.total_iter == 7 and config.network.fusion_kernels is None
    assert config.search.operations == ["none", "skip"] and config.strategy.args["mask"] == "random"
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"taks": "sr"}, "did you mean 'task'"),
        ({"search": {"total_itr": 3}}, r"did you mean 'search\.total_iter'"),
        ({"search": {"total_iter": "many"}}, r"search\.total_iter.*many"),
        ({"search": 3}, "search"),
        ({"train": {"total_iter": 0}}, r"'train\.total_iter' is 0"),
        ({"scale": 5}, "2, 3 or 4, but it is 5"),
        ({"task": "denoise", "scale": 1}, "needs the noise level"),
        ({"precision": "bf16"}, "did you mean 'bf16-mixed'"),
        ({"train": {"ema_decay": 1.0}}, "ema_decay"),
        ({"datasets": {"workers": -1}}, "workers"),
        ({"manual_seed": -1}, "seed is -1"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, content: dict[str, object], sentence: str) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"task": "sr", "scale": 2, **content}))
    with pytest.raises(InputError, match=sentence):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "a: [1\n", "\0", "a: &x [*x]\n", "!!python/object/apply:os.getcwd []\n"]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError):
        load_config(tmp_path / "c.yaml")


def test_unknown_names_and_options_name_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean 'sr-x[234]'"):
        load_config("sr-x5")
    with pytest.raises(InputError, match=r"did you mean '--train\.total_iter'"):
        load_config("sr-x2", ["--trian.total_iter", "3"])
    with pytest.raises(InputError, match="more"):
        load_config("sr-x2", ["more"])


def test_every_setting_has_a_help_line() -> None:
    lines = settings_help().splitlines()
    assert len(lines) > 45
    for line in lines:
        name, _, text = line.strip().partition("  ")
        assert name.startswith("--") and len(text) > 20, line


def test_a_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config(scale=2).scale = 3  # type: ignore[misc]


@pytest.mark.parametrize("option", [["--strategy.name=darts"], ["--strategy.name", "darts"]])
def test_another_strategy_does_not_inherit_the_settings_of_the_first(option: list[str]) -> None:
    assert load_config("demo").strategy.args["partial"] == 4
    assert load_config("demo", option).strategy.args == {}
    assert load_config("demo", [*option, "--strategy.args.second_order", "true"]).strategy.args == {
        "second_order": True
    }
    assert load_config("demo", ["--strategy.name=pc_darts"]).strategy.args == load_config("demo").strategy.args


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("val: {max_side: null}", r"'val\.max_side' is null; give a value"),
        ("train: {learning_rate: null}", r"'train\.learning_rate' is null"),
        ("train: {learning_rate: .nan}", r"'train\.learning_rate' is nan; give a number above 0"),
        ("search: {weight_decay: .inf}", r"'search\.weight_decay' is inf"),
        ("manual_seed: null", "'manual_seed' is null"),
    ],
)
def test_null_and_what_is_no_number_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "c.yaml").write_text(f"{{task: sr, scale: 2, {text}}}")
    with pytest.raises(InputError, match=words):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--search.total_iter=1.5", r"^The option --search\.total_iter is '1\.5'; a whole number was expected\.$"),
        ("--search.learning_rate=nan", r"learning_rate is 'nan'; a number was expected\.$"),
        ("--search.operations=[skip", r"operations is '\[skip'; a list such as \[a, b\] was expected\.$"),
        ("--sigma=x", r"sigma is 'x'; a number was expected\.$"),
        ("--search.betas=3", r"betas is '3'; a list of 2 numbers was expected\.$"),
        ("--logger.tensorboard=perhaps", r"tensorboard is 'perhaps'; true or false was expected\.$"),
        ("--strategy.args=3", r"args is '3'; a mapping was expected\.$"),
    ],
)
def test_an_option_of_the_wrong_type_is_named_with_what_was_expected(option: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_config("quick", [option])
