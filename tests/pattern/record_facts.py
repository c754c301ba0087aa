"""Asks the Python module again for every line of fixtures/dialect/facts.jsonl, and writes it anew.

Run with the interpreter of the virtual environment: target/python-venv/bin/python tests/pattern/record_facts.py
"""

import json
import pathlib

import regex

FACTS = pathlib.Path(__file__).parents[2] / "fixtures/dialect/facts.jsonl"


def asked_again(fact):
    tags = fact.get("matching", []) + fact.get("failing", [])
    fresh = {"about": fact["about"], "pattern": fact["pattern"]}
    try:
        pattern = regex.compile(fact["pattern"])
    except regex.error:
        return fresh | {"invalid": True}
    except Exception as error:  # noqa: BLE001 - the type is the fact
        return fresh | {"fails": type(error).__name__}
    decided = {tag: pattern.fullmatch(tag, timeout=1.0) is not None for tag in tags}
    fresh["matching"] = [tag for tag in tags if decided[tag]]
    fresh["failing"] = [tag for tag in tags if not decided[tag]]
    return fresh


def main():
    facts = [json.loads(line) for line in FACTS.read_text().splitlines()]
    FACTS.write_text("".join(json.dumps(asked_again(fact)) + "\n" for fact in facts))


if __name__ == "__main__":
    main()
