"""How fast is a step? vae_np beside PyTorch, JAX, Keras and the bare matrix products, on this machine.

Each system runs in a process of its own, which waits while the others have their turn. In every round each takes the
same number of steps from where it stood; the ratio of two systems is that of their times in one round, and the table
shows medians over the rounds, for these outlast a machine that is busy with other things. All have the same parameters,
minibatches, noise, dtype (float32; the one-page version float64) and threads, and must reach the same loss.

    python demos/benchmark.py                  the table: every system, RMSprop and Adam, three shapes
    python demos/benchmark.py --sweeps         and how time and memory grow with batch, width, depth and samples
    python demos/benchmark.py --tricks         what each trick for speed buys: the step without it beside the step

The recorded tables are in README.md beside this file.
"""

from support import advice, common
from support.peers import SYSTEMS, Shape

import csv
import os
import resource
import statistics
import subprocess
import sys
import time

from matplotlib.figure import Figure

FIRST = 10  # steps before the clock, after which the losses must agree; later, rounding tells the runs apart
SHAPES = {"post: 784-256-2, batch 100": Shape(),
          "784-500-20, batch 1000": Shape(hidden=(500,), latent=20, batch=1000),
          "IWAE: 784-200-200-50 tanh, k = 50, batch 20": Shape(hidden=(200, 200), latent=50, batch=20, k=50,
                                                               activation="tanh")}
SWEEPS = {"batch size": [Shape(batch=n) for n in (25, 50, 100, 200, 400, 800, 1600)],
          "hidden width": [Shape(hidden=(h,)) for h in (64, 128, 256, 512, 1024)],
          "hidden layers": [Shape(hidden=(256,) * n) for n in (1, 2, 3, 4)],
          "samples k": [Shape(k=k) for k in (1, 5, 10, 25, 50)]}
VALUES = {"batch size": lambda s: s.batch, "hidden width": lambda s: s.hidden[0],
          "hidden layers": lambda s: len(s.hidden), "samples k": lambda s: s.k}


def work(name, optimizer, shape):
    """The child: on each line of standard input, that many steps; prints seconds and peak memory in MB."""
    try:
        run = SYSTEMS[name](Shape(*eval(shape, {"__builtins__": {}})), optimizer)
        loss = run(FIRST)
    except (ImportError, NotImplementedError) as error:
        print("absent", advice(error) or error, flush=True)
        return
    print("ready", loss, flush=True)
    for line in sys.stdin:
        run(1 + int(line) // 10)  # whatever went to sleep while others had their turn wakes up
        start = time.perf_counter()
        run(int(line))
        seconds = time.perf_counter() - start
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def measure(names, optimizer, shape, rounds, threads, steps=0):
    """{name: (milliseconds a step in each round, loss after the first steps, peak MB)}, all in turn in every round."""
    environment = {**os.environ, **{f"{kind}_NUM_THREADS": str(threads) for kind in ("OMP", "OPENBLAS", "MKL")},
                   "XLA_FLAGS": "" if threads > 1 else "--xla_cpu_multi_thread_eigen=false",
                   "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    children, times, last = {}, {}, {}
    for name in names:
        child = subprocess.Popen([sys.executable, __file__, "--work", name, optimizer, repr(tuple(shape))], text=True,
                                 env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        answer = child.stdout.readline().strip()
        if answer.startswith("ready"):
            children[name], times[name], last[name] = child, [], [float(answer.split()[1]), 0]
        else:
            print(f"{name}: left out ({answer.removeprefix('absent ') or 'it ended with an error'})")
            child.kill()
            child.communicate()
    steps = steps or max(5, 12_000 // (shape.batch * max(shape.k, 1)))
    for _ in range(rounds):
        for name, child in children.items():
            child.stdin.write(f"{steps}\n")
            child.stdin.flush()
            seconds, last[name][1] = map(float, child.stdout.readline().split())
            time.sleep(0.06)  # until the threads that a system leaves waiting for more work have gone to sleep
            times[name].append(1000 * seconds / steps)
    for child in children.values():
        child.communicate()  # closes what it reads from, and waits for its end
    return {name: (times[name], *last[name]) for name in children}


def ratio(results, name, other):
    """vae_np's time over another's, round by round: the median."""
    return statistics.median(a / b for a, b in zip(results[name][0], results[other][0]))


def main(arguments):
    if arguments.quick:
        arguments.rounds, arguments.only = 2, arguments.only or ["matrix products"]
    elif not arguments.only:
        common.takes(50 * arguments.rounds)
    names = [name for name in SYSTEMS if name.startswith("without") == arguments.tricks
             and (not arguments.only or name in arguments.only)]
    names = ["vae_np", *(name for name in names if name != "vae_np")]
    rows = []
    for title, shape in list(SHAPES.items())[:1 if arguments.quick else None]:
        for optimizer in ("rmsprop", "adam")[:1 if arguments.quick else None]:
            chosen = [name for name in names if name != "one page, float64" or shape.activation == "relu"]
            results = measure(chosen, optimizer, shape, arguments.rounds, arguments.threads, 2 * arguments.quick)
            print(f"\n{title}, {optimizer}, {arguments.threads} threads, medians of {arguments.rounds} rounds")
            table = [(name, f"{statistics.median(times):.2f}", f"{ratio(results, 'vae_np', name):.2f}", f"{loss:.2f}",
                      f"{memory:.0f}") for name, (times, loss, memory) in results.items()]
            common.table(("system", "ms a step", "vae_np / it", f"loss, step {FIRST}", "peak MB"), table)
            rows += [(title, optimizer, *row) for row in table]
    with open(os.path.join(arguments.out, "benchmark.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("shape", "optimizer", "system", "ms", "ratio", "loss", "peak_mb"), *rows])
    draw(rows, os.path.join(arguments.out, "benchmark.png"))
    if arguments.sweeps:
        sweep([name for name in ("vae_np", "JAX jit", "matrix products") if name in names], arguments)


def draw(rows, path):
    """The times as bars, one panel a shape."""
    titles = list(dict.fromkeys(row[0] for row in rows))
    figure = Figure(figsize=(5.2 * len(titles), 4.2), layout="constrained")
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles):
        found = {row[2] for row in rows if row[0] == title}
        names = [name for name in SYSTEMS if name in found][::-1]
        for offset, optimizer in ((0.2, "rmsprop"), (-0.2, "adam")):
            ms = {row[2]: float(row[3]) for row in rows if row[:2] == (title, optimizer)}
            there = [i for i, name in enumerate(names) if name in ms]
            bars = axes.barh([i + offset for i in there], [ms[names[i]] for i in there], 0.38, label=optimizer)
            axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="milliseconds a step")
        axes.set_title(title, fontsize=9)
        axes.margins(x=0.15)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    figure.savefig(path, dpi=120)


def sweep(names, arguments):
    """Time and peak memory along each sweep, as curves on log axes and as sweeps.csv."""
    rows = []
    for title, shapes in SWEEPS.items():
        for shape in shapes:
            results = measure(names, "rmsprop", shape, arguments.rounds, arguments.threads)
            rows += [(title, name, VALUES[title](shape), f"{statistics.median(times):.3f}", f"{memory:.0f}")
                     for name, (times, _, memory) in results.items()]
    with open(os.path.join(arguments.out, "sweeps.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sweep", "system", "value", "ms", "peak_mb"), *rows])
    draw_sweeps(rows, os.path.join(arguments.out, "sweeps.png"))


def draw_sweeps(rows, path):
    """One column a sweep: time above, memory below."""
    figure = Figure(figsize=(16, 7), layout="constrained")
    panels = figure.subplots(2, len(SWEEPS))
    for column, title in enumerate(SWEEPS):
        for row, label in ((0, "milliseconds a step"), (1, "peak resident MB")):
            axes = panels[row, column]
            for name in dict.fromkeys(r[1] for r in rows):
                points = [(float(r[2]), float(r[3 + row])) for r in rows if r[:2] == (title, name)]
                axes.plot(*zip(*points), marker="o", label=name)
            axes.set(xlabel=title, ylabel=label, xscale="log", yscale="log")
            axes.set_xticks([x for x, _ in points], [f"{x:g}" for x, _ in points])
            axes.minorticks_off()
            bottom, top = axes.get_ylim()
            ticks = [m * 10.0**e for e in range(-1, 4) for m in (1, 2, 5) if bottom <= m * 10.0**e <= top]
            axes.set_yticks(ticks, [f"{y:g}" for y in ticks])
            axes.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
    else:
        options = common.options(__doc__, "benchmark")
        options.add_argument("--rounds", type=common.positive, default=15, help="of which the median is shown")
        options.add_argument("--threads", type=common.positive, default=2, help="for every system")
        options.add_argument("--only", nargs="+", choices=list(SYSTEMS), help="these systems beside vae_np")
        options.add_argument("--tricks", action="store_true", help="beside vae_np, only itself without each trick")
        options.add_argument("--sweeps", action="store_true", help="also batch size, width, depth and samples")
        common.run(main, options)
