"""The judge of the exercises: for each, right, not done, or wrong, with the first number that differs.

    python demos/lesson/check.py [FILE]

FILE is `exercises.py` beside this one unless you name another. Exit status: 0 only when all are right, 2 where there
is no file to read. What is asked and what is true stands in `truths.py`.
"""

import argparse
import contextlib
import copy
import io
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
from truths import EXERCISES

from vae_np.nests import leaves, paths

TOLERANCE = 1e-8  # of a number, relative where it exceeds 1: wide enough for differences and any order of adding


def inputs(name):
    """The judge's inputs for this exercise, numbered from 0, each a dict of arguments."""
    return [copy.deepcopy(arguments) for arguments, _ in EXERCISES[name]()]


def shown(name, a):
    """An argument in a few characters: a small array in full, of a larger one the shape, of a nest the name."""
    if isinstance(a, (dict, list)):
        return name
    return f"{name} = {np.asarray(a).tolist()}" if np.size(a) <= 6 else f"{name} {np.shape(a)}"


def kind(result):
    """The dtype of numbers, the type of anything else."""
    if isinstance(result, (np.ndarray, np.generic, float, int)):
        return str(np.asarray(result).dtype)
    return "None" if result is None else f"a {type(result).__name__}"


def difference(name, result, truth):
    """What is wrong with a result: its kind, its shape, or the first number that differs. None where it is right."""
    if isinstance(truth, dict):
        if not isinstance(result, (tuple, list)) or len(result) != len(truth):
            return f"{name} is {kind(result)}, expected {len(truth)} arrays: {', '.join(truth)}"
        return next(filter(None, map(difference, truth, result, truth.values())), None)
    if not kind(result).startswith(("float64", "int", "uint")):
        return f"{name} is {kind(result)}, expected float64 of shape {truth.shape}"
    if np.shape(result) != truth.shape:
        return f"{name} has shape {np.shape(result)}, expected {truth.shape}"
    wrong = np.argwhere(~(np.abs(result - truth) <= TOLERANCE * np.maximum(1, np.abs(truth))))
    if len(wrong):
        index = tuple(wrong[0].tolist())
        place = f"{name}{list(index)}" if index else name
        return f"{place} is {np.asarray(result)[index]:.10g}, the true one {truth[index]:.10g}"


class Printed(io.TextIOBase):
    """Keeps the first characters of what is printed."""
    text = ""

    def write(self, text):
        self.text = (self.text + text)[:50]
        return len(text)


def told(error):
    """An error in one line, and the line of the student's file."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:160] + (f" (line {frames[0].lineno})" if frames else "")


def verdict(name, function):
    """"right", "not done ..." or "wrong: ..."."""
    if not callable(function):
        return f"not done: the file has no function {name}"
    for i, (arguments, truth) in enumerate(EXERCISES[name]()):
        given, printed = copy.deepcopy(arguments), Printed()
        at = f"wrong: input {i}, {', '.join(map(shown, arguments, arguments.values()))}: "
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                result = function(*given.values())
        except NotImplementedError as error:
            inner = traceback.extract_tb(error.__traceback__)[-1].name
            return f"not done: it calls {inner}, which is not" if inner in {*EXERCISES} - {name} else "not done"
        except BaseException as error:
            return f"{at}it raises {told(error)}"
        for key, a in arguments.items():
            if paths(given[key]) != paths(a) or not all(map(np.array_equal, leaves(given[key]), leaves(a))):
                return f"{at}it changes its argument {key} in place"
        if found := difference("result", result, truth):
            return at + found
        if printed.text:
            return f"wrong: it prints {printed.text.splitlines()[0]!r}; its numbers are right, take the print out"
    return "right"


def work(pipe, path, source):
    """The process of the student's file: asked for "", it runs the file; for a name, it judges that function."""
    warnings.simplefilter("ignore")
    student = {"__name__": "exercises"}
    for cases in EXERCISES.values():
        cases()  # now, before the file could change what numpy is
    with contextlib.suppress(EOFError, OSError):  # the judge has ended
        pipe.send("ready")
        while True:
            name, answer = pipe.recv(), ""
            try:
                if name:
                    answer = verdict(name, student.get(name))
                else:
                    with contextlib.redirect_stdout(Printed()), contextlib.redirect_stderr(Printed()):
                        exec(compile(source, path, "exec"), student)
            except BaseException as error:
                answer = f"wrong: {told(error)}"
            pipe.send(answer)


class Student:
    """The student's file in a process of its own, which may hang or die: then the next question goes to a new one."""

    def __init__(self, path, source, seconds):
        self.path, self.source, self.seconds, self.process = path, source, seconds, None

    def ask(self, name):
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=work, args=(theirs, self.path, self.source), daemon=True)
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for the judge alone
            self.process.start()
            signal.signal(signal.SIGINT, handler)
            theirs.close()  # so that its death is noticed
            self.pipe.recv()
            if name and (problem := self.ask("")):
                return problem
        try:
            self.pipe.send(name)
            if self.pipe.poll(self.seconds):
                return self.pipe.recv()
            problem = f"no answer after {self.seconds:g} s; does a loop never end?"
        except (EOFError, OSError):
            problem = "it ended the process that ran it"
        self.process.kill()
        self.process = None
        return f"wrong: {problem}"


def main():
    sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = lambda message: parser.exit(2, f"check.py: error: {message}\n")
    parser.add_argument("file", nargs="?", default=Path(__file__).with_name("exercises.py"), type=Path)
    parser.add_argument("--seconds", type=float, default=10, help="time limit of an exercise (default: 10)")
    arguments = parser.parse_args()
    try:
        source = arguments.file.read_bytes()
    except OSError as error:
        parser.error(f"{arguments.file}: {error.strerror}")
    student = Student(str(arguments.file), source, arguments.seconds)
    if problem := student.ask(""):
        print(f"{arguments.file}: {problem}")
        sys.exit(1)
    answers = []
    for name in EXERCISES:
        answers.append(student.ask(name))
        print(f"{name:<{max(map(len, EXERCISES))}}  {answers[-1]}", flush=True)
    print(f"{answers.count('right')} of {len(answers)} right")
    if wrong := [name for name, answer in zip(EXERCISES, answers) if answer.startswith("wrong: input")]:
        print(f'Inputs to try yourself, in {Path(__file__).parent}: from check import inputs; inputs("{wrong[0]}")[0]')
    sys.exit(answers.count("right") < len(answers))


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):  # Ctrl-C, or `| head`
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(130)
