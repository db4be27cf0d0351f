"""A page for each scheduler, from its code: ``python -m metagan_rl.experiments.studies.scheduler_pages``."""

import csv
import inspect
import re
from pathlib import Path

from metagan_rl.agents import SCHEDULERS, Scheduler, make_scheduler, scheduler_names
from metagan_rl.agents.catalogue import kind_of
from metagan_rl.experiments.report.tables import amount, fixed, number, percent
from metagan_rl.experiments.studies.command import write_pages
from metagan_rl.experiments.studies.transfer.page import SHOWN
from metagan_rl.loop.signals import SIGNAL_SETS, SIGNALS, choose_signals

KINDS = {
    "fixed": "Follows the clock alone.",
    "reactive": "A rule that reacts to what it sees of the run.",
    "searching": "Its numbers come from a search, made beforehand or while it trains.",
    "learned": "A policy that was trained on many GAN runs.",
}
"""The kinds of schedulers, in the order of the list, with what each means."""
FULL = Path(__file__).parent.parent / "results" / "full" / "summary.csv"
"""What the full form of the benchmark came to."""
INDEX = """\
# Schedulers

{tables}

## Use one

```bash
metagan-rl benchmark --suite planar --split val --tasks 1 --seeds 1 --schedulers constant,cosine
```

```python
from metagan_rl.agents import make_scheduler

scheduler = make_scheduler("warm-up", share=0.1)
```

It is also the reference that an environment's actions depart from (`gym.make(..., reference="cosine")`). In a loop of
your own it is `GANScheduler("cosine", ...)`: [plug-in](../plug-in.md). To add yours:
[your own scheduler](../how-to/own-scheduler.md). What each is worth: [results](../results.md).
"""


def page(name: str) -> str:
    """The page of one scheduler, in Markdown."""
    scheduler, kind = make_scheduler(name), kind_of(name)
    summary, body, arguments = _docstring(name)
    facts = {
        "kind": f"{kind}. {KINDS[kind]}",
        "source": _text(scheduler.source),
        "sees": _sees(scheduler),
        "spent beforehand": f"{scheduler.cost:,} GAN updates" if scheduler.cost else "nothing",
        "GANs of a run": f"{scheduler.members}; the best one counts" if scheduler.members > 1 else "1",
    }
    table = "\n".join(f"| {fact} | {value.replace('|', chr(92) + '|')} |" for fact, value in facts.items())
    parts = [f"# `{name}`", summary, *body, f"| | |\n|---|---|\n{table}", _options(name, arguments), _figures(name)]
    if kind == "learned":
        parts.append("How it was trained, and its limits: [model cards](../../agents/policies/README.md).")
    return "\n\n".join(part for part in parts if part) + "\n"


def _docstring(name: str) -> tuple[str, list[str], dict[str, str]]:
    """The docstring of what makes a scheduler: first line, further paragraphs, and what each option means."""
    whole, _, section = (inspect.getdoc(SCHEDULERS[name]) or "").partition("\n\nArgs:\n")
    summary, *body = [_text(paragraph) for paragraph in whole.split("\n\n")]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return summary, body, {option: _text(re.sub(r"\n +", " ", words)) for option, words in entries}


def _text(docstring: str) -> str:
    """A docstring's text in Markdown."""
    plain = re.sub(r":\w+:`([^`]*)`", r"`\1`", docstring).replace("``", "`")
    return re.sub(r"([*<>])", r"\\\1", plain)


def _sees(scheduler: Scheduler) -> str:
    needs = set(scheduler.needs)
    if not needs:
        return "no signal that a loop might lack"
    metric = "with" if any(signal in SIGNALS and SIGNALS[signal].needs == "quality" for signal in needs) else "without"
    sets = [*SIGNAL_SETS, *(f"{name}+setup" for name in SIGNAL_SETS)]
    exact = [f'the set `"{name}"`' for name in sets if {signal.name for signal in choose_signals(name)} == needs]
    shown = exact[0] if exact else ", ".join(f"`{signal}`" for signal in scheduler.needs)
    return f"{shown} of [the signals](../signals.md), {metric} a quality metric"


def _options(name: str, arguments: dict[str, str]) -> str:
    parameters = inspect.signature(SCHEDULERS[name]).parameters.values()
    rows = [f"| `{each.name}` | `{_default(each.default)}` | {arguments[each.name]} |" for each in parameters]
    return "\n".join(["## Options", "", "| option | default | meaning |", "|---|---|---|", *rows]) if rows else ""


def _default(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figures(name: str) -> str:
    """What the full form of the benchmark says of it."""
    with FULL.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["scheduler"] == name and row["tag"] == "all"]
    if not rows:
        elsewhere = " Figures of it: [under other conditions](../transfer.md)." if name in SHOWN else ""
        return f"## Figures\n\nIt is not in the full form of the benchmark: [results](../results.md).{elsewhere}"
    value = {key: float(text) if text else float("nan") for key, text in rows[0].items() if key not in NAMES}
    cells = [
        f"{fixed(value['score'])} [{fixed(value['score_over_tasks_low'])}, {fixed(value['score_over_tasks_high'])}]",
        f"{number(value['distance'])} [{number(value['distance_low'])}, {number(value['distance_high'])}]",
        percent(value["diverged"]),
        percent(value["modes_lost"]),
        amount(value["extra_updates"]),
        f"{value['tasks']:.0f} x {value['seeds']:.0f}",
    ]
    return f"""\
## Figures

From [the full form of the benchmark](../results.md#the-full-form), with 95 % intervals over tasks. Score 0 is the
median random constant, 1 the best schedule found for that very task.

| score | distance | diverged | modes lost | extra updates a run | tasks x seeds |
|--:|--:|--:|--:|--:|--:|
| {" | ".join(cells)} |"""


NAMES = ("suite", "split", "tag", "scheduler")


def index(names: list[str]) -> str:
    """The list of all schedulers, by kind."""
    tables = []
    for kind, meaning in KINDS.items():
        rows = "\n".join(
            f"| [`{name}`]({name}.md) | {_docstring(name)[0]} |" for name in names if kind_of(name) == kind
        )
        tables.append(f"## {kind.capitalize()}\n\n{meaning}\n\n| scheduler | what it does |\n|---|---|\n{rows}")
    return INDEX.format(tables="\n\n".join(tables))


def pages() -> dict[str, str]:
    """All pages by the name of their file; schedulers of other packages have none."""
    names = sorted(name for name in scheduler_names() if kind_of(name) in KINDS)
    return {"README.md": index(names), **{f"{name}.md": page(name) for name in names}}


if __name__ == "__main__":
    write_pages(pages(), "docs/schedulers")
