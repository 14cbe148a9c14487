"""Measures one Python file: size, Halstead volume, functions, cyclomatic complexity; the worker of stdlib-metrics.

Started by the cluster it takes files from the queue until there are none; ``measure`` alone does one.
"""

from __future__ import annotations

import ast
import io
import json
import math
import tokenize
from pathlib import Path
from typing import Any

import asperathos_worker

_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension, ast.Assert)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_KEPT = 10


def complexity(function: ast.AST) -> int:
    """Cyclomatic complexity (McCabe 1976): one, and one more for each place the flow can fork."""
    forks = 0
    for node in ast.walk(function):
        if isinstance(node, _BRANCHES):
            forks += 1
        elif isinstance(node, ast.BoolOp):
            forks += len(node.values) - 1
        elif isinstance(node, ast.Match):
            forks += len(node.cases)
    return forks + 1


def halstead_volume(text: str) -> float:
    """Halstead's program volume (1977) in bits: number of tokens times the bits that name one of the distinct ones."""
    tokens = [
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in _LAYOUT
    ]
    return len(tokens) * math.log2(len(set(tokens))) if tokens else 0.0


def measure(path: str) -> dict[str, Any]:
    """The metrics of the file at ``path``; a file that is no valid Python says so under ``unparsable``."""
    try:
        with tokenize.open(path) as file:
            text = file.read()
        tree = ast.parse(text, path)
        volume = halstead_volume(text)
    except (SyntaxError, UnicodeDecodeError, ValueError, tokenize.TokenError) as error:
        return {"path": path, "bytes": Path(path).stat().st_size, "unparsable": type(error).__name__}
    functions = sorted(
        ((complexity(node), node.name, node.lineno) for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)),
        reverse=True,
    )
    return {
        "path": path,
        "bytes": Path(path).stat().st_size,
        "lines": text.count("\n"),
        "volume": round(volume),
        "functions": len(functions),
        "complexity": sum(count for count, _, _ in functions),
        "most_complex": functions[:_KEPT],
    }


if __name__ == "__main__":
    asperathos_worker.run(lambda path: json.dumps(measure(path)))
