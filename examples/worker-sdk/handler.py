"""Counts the words of a text file. Each item is the path of one file; the result is a JSON object."""

from __future__ import annotations

from pathlib import Path

import asperathos_worker


def count_words(path: str) -> dict[str, object]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        # Another attempt would find the same file: no need to try again.
        raise asperathos_worker.PermanentError(f"{path} is no text file: {error}") from error
    words = text.split()
    asperathos_worker.report("words_per_file", len(words))
    return {"path": path, "words": len(words), "longest": max(words, key=len, default="")}


if __name__ == "__main__":
    asperathos_worker.run(count_words)
