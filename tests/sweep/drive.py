"""Run as a process: `sweep run` (retry, agent) without the shell's parser. Argument: JSON of what it takes."""

import json
import sys
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.sweep import pool
from lit_transformer.sweep.joining import sweep_agent
from lit_transformer.sweep.run import sweep_retry, sweep_run


def main(asked: dict[str, object]) -> int:
    pool.WORKER = str(asked.get("worker", pool.WORKER))
    try:
        if "retry" in asked:
            status, _ = sweep_retry(Path(str(asked["retry"])), workers=1)
        elif "agent" in asked:
            status, _ = sweep_agent(Path(str(asked["agent"])), workers=1)
        else:
            overrides = asked.get("overrides", [])
            assert isinstance(overrides, list)
            workers = int(str(asked.get("workers", 1)))
            output = Path(str(asked["output"]))
            retries = int(str(asked.get("retries", 0)))
            seeds = int(str(asked["seeds"])) if "seeds" in asked else None
            status, _ = sweep_run(
                str(asked["sweep"]), overrides=overrides, workers=workers, output=output, retries=retries, seeds=seeds
            )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    assert "torch" not in sys.modules
    return status


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
