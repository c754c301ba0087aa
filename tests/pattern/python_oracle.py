"""Decides patterns with the Python module that Quay uses: JSON lines in, JSON lines out.

In:  {"pattern": "...", "tags": ["...", ...], "timeout": 1.0}
Out: {"compile": "ok" | "error" | "exception:TYPE", "decisions": [true | false | "timeout" | "exc:TYPE", ...]}
"""

import json
import sys
import warnings

import regex

warnings.simplefilter("ignore")


def decide(pattern, tag, timeout):
    try:
        return pattern.fullmatch(tag, timeout=timeout) is not None
    except TimeoutError:
        return "timeout"
    except Exception as error:  # noqa: BLE001 - the type is the answer
        return "exc:" + type(error).__name__


def answer(question):
    try:
        # Quay compiles through the module's cache; the cache decides nothing, and is left out.
        pattern = regex.compile(question["pattern"], cache_pattern=False)
    except regex.error:
        return {"compile": "error", "decisions": []}
    except Exception as error:  # noqa: BLE001
        return {"compile": "exception:" + type(error).__name__, "decisions": []}
    timeout = question.get("timeout", 1.0)
    decisions = []
    for tag in question["tags"]:
        decisions.append(decide(pattern, tag, timeout))
        if decisions[-1] == "timeout":
            # One is enough; the rest would take as long.
            decisions.extend(["timeout"] * (len(question["tags"]) - len(decisions)))
            break
    return {"compile": "ok", "decisions": decisions}


def main():
    print(json.dumps({"version": regex.__version__, "python": sys.version.split()[0]}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
