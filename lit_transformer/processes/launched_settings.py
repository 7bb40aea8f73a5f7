"""What a launcher decides of a run's settings: devices, nodes, threads."""

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.load import DEFAULT, Loaded, with_values
from lit_transformer.config.rules import broken_rules
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.processes.launched import Launch

NOT_ON_PURPOSE = (DEFAULT, "srun", "torchrun")
"""Origins of numbers that nobody typed: when a run goes on, those of the first launcher give way to this one's."""


def settings(loaded: Loaded, launch: Launch | None) -> Loaded:
    """`loaded` with the launcher's devices, nodes and threads where they were not set on purpose.

    Raises UserError where set and launched ranks differ, and for several nodes without a launcher; ConfigError where a
    rule, such as the batch size's, does not hold for the launcher's numbers.
    """
    if launch is None:
        check_world(loaded.config, None)
        return loaded
    world: dict[str, object] = {
        "trainer.devices": launch.local_world_size,
        "trainer.num_nodes": launch.num_nodes,
    }
    values = {key: value for key, value in world.items() if loaded.origins[key] in NOT_ON_PURPOSE}
    if loaded.config.trainer.threads is None and launch.threads is not None:
        values["trainer.threads"] = launch.threads
    config, origins = with_values(loaded.config, values), {**loaded.origins, **dict.fromkeys(values, launch.kind)}
    check_world(config, launch)
    problems = [rule.problem(origins) for rule in broken_rules(config)]
    if problems:
        raise ConfigError(problems)
    return Loaded(config, origins)


def check_world(config: ExperimentConfig, launch: Launch | None) -> None:
    """Raise UserError unless exactly the ranks that `config` asks for were started, or can be started by `fit`."""
    nodes, devices = config.trainer.num_nodes, config.trainer.devices
    if launch is None:
        if nodes > 1:
            raise UserError(
                f"trainer.num_nodes: got {nodes}, and this process was started by neither srun nor torchrun\n"
                "  allowed  1 without them: a process starts ranks on its own machine alone\n"
                f"  fix      srun --nodes={nodes} --ntasks-per-node={devices} lit-transformer fit ..., or torchrun "
                f"--nnodes={nodes} --nproc-per-node={devices} -m lit_transformer fit ... on each node"
            )
        return
    if (nodes, devices) == (launch.num_nodes, launch.local_world_size):
        return
    again = {
        "srun": f"srun --nodes={nodes} --ntasks-per-node={devices}",
        "torchrun": f"torchrun --nnodes={nodes} --nproc-per-node={devices}",
    }
    raise UserError(
        f"trainer.num_nodes x trainer.devices: got {nodes} x {devices} = {nodes * devices} ranks\n"
        f"  allowed  {launch.num_nodes} x {launch.local_world_size} = {launch.world_size} ranks, those that "
        f"{launch.kind} started\n"
        f"  fix      start them with {again[launch.kind]}, or leave both settings out: {launch.kind}'s are taken"
    )
