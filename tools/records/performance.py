"""Write book/performance.md from the records of `make bench`, recipes.py and gpu.py.

    python -m tools.records.performance

The prose is in performance.template.md and gpu.template.md; here its numbers are filled
in, and the few words that depend on them. Where no book/gpu.json is, the page has
nothing on GPUs.
"""

import json
import sys
from pathlib import Path

from tools.book import BOOK, Template

RECORD = BOOK / "performance.json"
RECIPES = BOOK / "recipes.json"
PAGE = BOOK / "performance.md"
GPU = BOOK / "gpu.json"
TEMPLATE = Path(__file__).with_name("performance.template.md")
GPU_TEMPLATE = Path(__file__).with_name("gpu.template.md")
WAYS = {
    "products": "the matrix products alone: the floor",
    "by hand": '`train` with `step="by hand"`',
    "jax": "JAX, the whole epoch compiled",
    "compiled": '`train` with `step="compiled"`, once compiled',
    "ours": "`train`",
    "medium": '`train`, products in "medium" precision',
    "dataloader": "a plain loop: `DataLoader`, default Adam, `.item()` at every step",
}
BUSY = {
    "a core to spare": "as it is, with a core to spare",
    "all cores": "on all cores",
}
STRAIGHT = 0.1  # a line that misses no median by more is called straight
SAME_BOUND = 1.0  # nats


def read_record() -> dict:
    """All records in one; None for that of a GPU where there is none."""
    record, recipes = (json.loads(p.read_text("utf-8")) for p in (RECORD, RECIPES))
    gpu = json.loads(GPU.read_text("utf-8")) if GPU.exists() else None
    return record | {"recipes": recipes, "gpu": gpu}


def page(record: dict) -> str:
    """The text of the page."""
    template = Template(TEMPLATE.read_text("utf-8"))
    fields = tried(record["recipes"]) | beside(record["busy"])
    fields["gpu"] = on_a_gpu(record["gpu"]) if record["gpu"] else ""
    for part in (measured, against_ours, by_threads, compiling, grown):
        fields |= part(record)
    return template.substitute(fields)


def measured(record: dict) -> dict[str, str]:
    """What ran and where; the tables of ways and of the profile; memory."""
    task, memory = record["task"], record["memory"]
    groups = {group: percent(x) for group, x in record["profile_of_ours"].items()}
    first, second, *_ = groups
    difference = record["largest_difference_of_elbo"]
    return {
        **{key: str(value) for key, value in record["environment"].items()},
        "load": f"{record['environment']['load']:.2f}",
        **{key: f"{value:,}" for key, value in task.items()},
        **{key: f"{value:.0f}" for key, value in memory.items() if "_mb" in key},
        "added": f"{memory['added_over_images']:.2f}",
        "rounds": str(record["rounds"]),
        "epochs": str(record["epochs"]),
        "ways": table_of_ways(record),
        "elbo_difference": f"{difference:.2f}",
        "same_work": ", so they do the same work"
        if difference < SAME_BOUND
        else ": more than such runs should differ",
        "profile": rows(groups.items()),
        "first_group": first,
        "first_share": groups[first],
        "second_group": second,
        "second_share": groups[second],
    }


def table_of_ways(record: dict) -> str:
    """What an epoch takes in each way, and the bound it ends with."""
    bounds = record["train_elbo_of_last_epoch"]
    return rows(
        (WAYS[name], *spread(ratio), nats(bounds[name]) if name in bounds else "")
        for name, ratio in record["ratio_to_products"].items()
    )


def on_a_gpu(record: dict) -> str:
    """The section on what gpu.py measured."""
    presets = [
        (f"`{name}`", f"{x['seconds']:.2f}", nats(x["train_elbo"]))
        for name, x in record["presets"].items()
    ]
    networks = [
        (
            name,
            " and ".join(f"{step['batch']:,}" for step in x["steps"]),
            *(f"{float(f'{x[key]:.2g}'):g}" for key in ("t0_ms", "t1_us")),
            f"{x['tera_operations']:.0f}",
        )
        for name, x in record["networks"].items()
    ]
    tests = {f"tests_{key}": str(n) for key, n in record["tests"].items()}
    ways = {"ways": table_of_ways(record["ways"])}
    ways |= against_ours(record["ways"])
    tables = {"presets": rows(presets), "networks": rows(networks)} | ways
    text = GPU_TEMPLATE.read_text("utf-8")
    return Template(text).substitute(record["environment"] | tests | tables)


def against_ours(record: dict) -> dict[str, str]:
    """The ratios of two contestants to train."""
    fields = {}
    for name in ("compiled", "dataloader", "by hand"):
        if name in record["ratio_to_ours"]:  # a GPU's record may be of before it
            median, least, most = spread(record["ratio_to_ours"][name])
            key = name.replace(" ", "_")
            fields |= {key: median, f"{key}_min": least, f"{key}_max": most}
    return fields


def by_threads(record: dict) -> dict[str, str]:
    """A row for each way, a column for each setting."""
    settings = record["threads"].values()
    lines = [
        (WAYS[name], *(f"{found[name]['median']:.2f}" for found in settings))
        for name in next(iter(settings))
    ]
    return {"threads_table": rows(lines)}


def compiling(record: dict) -> dict[str, str]:
    """How long compiling takes, and whether and when it pays."""
    new, kept = record["compiling"]["new"], record["compiling"]["kept"]
    pays = "The median says that in this run the wait never pays."
    if new["pays_after_epochs"] is not None:
        pays = (
            f"On this task, what the epochs save exceeds the wait after"
            f" {new['pays_after_epochs']:.0f} epochs,"
            f" or {kept['pays_after_epochs']:.0f} where the code is kept;"
            " for a shorter training, leave it off."
        )
    waits = {"wait_new": new, "wait_kept": kept}
    return {key: f"{x['seconds']:.0f}" for key, x in waits.items()} | {"pays": pays}


def beside(busy: dict) -> dict[str, str]:
    """What a busy process costs, and what it costs to be prepared for one."""
    found = busy["ratio_to_alone"]
    return {
        "busy": rows((BUSY[name], *spread(ratio)) for name, ratio in found.items()),
        "spare_alone": f"{busy['alone_with_a_core_to_spare']:.2f}",
    }


def grown(record: dict) -> dict[str, str]:
    """The tables of growth and what their lines say."""
    fields = {}
    for axis, found in record["growth"].items():
        lines = [[f"{x['value']:,}", *spread(x)] for x in found["rows"]]
        if axis == "batch_size":
            for cells, x in zip(lines, found["rows"], strict=True):
                cells.append(nats(x["train_elbo"]))
        fields[f"growth_{axis}"] = rows(lines)
        if line := found.get("line"):
            straight = line["largest_error"] < STRAIGHT
            fields[f"{axis}_error"] = percent(line["largest_error"])
            fields[f"{axis}_fixed"] = f"{line['fixed']:.2f}"
            fields[f"{axis}_verdict"] = "" if straight else ": no straight line, then"
    first, *_, last = record["growth"]["latent_dim"]["rows"]
    return fields | {
        "small_images": f"{record['growth']['width']['on_images']:,}",
        "j_first": str(first["value"]),
        "j_first_ratio": spread(first)[0],
        "j_last": str(last["value"]),
        "j_last_ratio": spread(last)[0],
    }


def tried(recipes: dict) -> dict[str, str]:
    """What each change of a preset costs, in nats."""
    presets = recipes["presets"].values()
    changes = dict.fromkeys(name for x in presets for name in x["worse_by"])
    bounds = (nats(x["validation_elbo"]) for x in presets)
    lines = [("as it is: validation ELBO", *bounds)]
    for change in changes:
        worse_by = (x["worse_by"].get(change, "") for x in presets)
        cells = ["diverged" if x is None else x and nats(x) for x in worse_by]
        lines.append((change, *cells))
    return {
        "recipe_train": f"{recipes['train_images']:,}",
        "recipe_valid": f"{recipes['validation_images']:,}",
        "recipe_epochs": str(recipes["epochs"]),
        "recipe_names": " | ".join(f"`{name}`" for name in recipes["presets"]),
        "recipe_rule": "|".join("---" for _ in presets),
        "recipes": rows(lines),
    }


def spread(ratio: dict[str, float]) -> tuple[str, str, str]:
    return tuple(f"{ratio[key]:.2f}" for key in ("median", "min", "max"))


def nats(bound: float) -> str:
    return f"{bound:.1f}".replace("-", "−")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def rows(cells) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page(read_record()), encoding="utf-8") and None)
