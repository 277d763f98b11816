"""The recipe of docs/scale.md as a program: `ray_corpus.py URL FOLDER` embeds FOLDER/in into FOLDER/out, and goes on if it was
killed."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys
from pathlib import Path

import ray
from ray.data.checkpoint import CheckpointConfig
from vessel_core.ray import BatchWorker


def main(url: str, folder: Path) -> None:
    """Embed every text of a folder."""
    ray.init(num_cpus=6, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 200_000  # small blocks: what is written is checkpointed
    context.checkpoint_config = CheckpointConfig(id_column="id", checkpoint_path=str(folder / "checkpoint"))
    texts = ray.data.read_parquet(str(folder / "in"), override_num_blocks=100)
    vectors = texts.map_batches(
        BatchWorker,
        fn_constructor_kwargs={"backend": "llamacpp", "base_url": url, "batch_size": 8, "concurrency": 4},
        batch_size=100,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    vectors.write_parquet(str(folder / "out"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
