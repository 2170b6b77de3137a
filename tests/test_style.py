"""The rules of style that can be counted: DESIGN.md, rule 1."""

import ast
import io
import statistics
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "framecast").rglob("*.py"))
SKIPPED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source):
    """The numbers of the lines that hold code: no comment, no blank line, no docstring."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SKIPPED:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines -= {*range(first.lineno, first.end_lineno + 1)}
    return lines


def functions(path):
    """Name, code lines and number of arguments (without self and cls) of each function."""
    source = path.read_text(encoding="utf-8")
    code = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = sum(arg.arg not in ("self", "cls") for arg in args)
            length = len(code & {*range(node.lineno, node.end_lineno + 1)})
            yield f"{path.relative_to(ROOT)}:{node.name}", length, count


ALL = [function for path in PACKAGE for function in functions(path)]


def test_functions_are_short():
    lengths = sorted(length for _, length, _ in ALL)
    assert statistics.median(lengths) <= 10
    assert lengths[int(0.9 * len(lengths))] <= 30
    assert [f"{name} has {length}" for name, length, _ in ALL if length > 60] == []


def test_functions_take_few_arguments():
    # The arguments of a command are its flags.
    kept = [function for function in ALL if not function[0].startswith("framecast/cli")]
    assert [f"{name} takes {count}" for name, _, count in kept if count > 7] == []


def test_files_are_short():
    files = [*PACKAGE, *(ROOT / "tests").rglob("*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert [f"{path} has {length}" for path, length in lengths.items() if length > 400] == []


def test_names_say_something():
    stems = [path.stem for path in PACKAGE]
    classes = [
        node.name
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert {"utils", "util", "common", "helpers", "misc"}.isdisjoint(stems)
    assert [name for name in classes if name.startswith("Base")] == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x = 1\n\n# why\ny = 2  # why\n", {1, 4}),
        (
            'def f():\n    """What.\n\n    More.\n    """\n    return (\n        1\n    )\n',
            {1, 6, 7, 8},
        ),
        ('TEXT = """a\n\nb"""\n', {1, 2, 3}),
    ],
)
def test_code_lines_are_counted_right(source, lines):
    assert code_lines(source) == lines
