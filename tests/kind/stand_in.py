"""Stands in for `kind` and for a container engine: notes each call, and acts as `act.json` beside its calls says.

act.json: {"kind create": {"code": 1, "output": "..."}, "kind create": {"hang": true}, ...}, by program and first word.
`kind create` starts an embedded lab in place of containers, whose kubeconfig it hands out; `kind delete` ends it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ["STAND_IN"])
LAB = HOME / "cluster"


def main(program: str, words: list[str]) -> int:
    with (HOME / "calls").open("a") as calls:
        calls.write(json.dumps([program, *words]) + "\n")
    if program == "kind":
        with (HOME / "providers").open("a") as providers:
            providers.write(f"{words[0]} {os.environ.get('KIND_EXPERIMENTAL_PROVIDER', '')}\n")
    act = json.loads((HOME / "act.json").read_text()).get(f"{program} {words[0]}", {})
    if act.get("hang"):
        if words[0] == "create":
            print(" • Preparing nodes ...", flush=True)
            (HOME / "clusters").write_text("lab\n")
        with (HOME / "hanging").open("w") as fifo:  # blocks until the test reads it
            fifo.write("here\n")
        with (HOME / "never").open() as fifo:
            fifo.read()
        return 1
    if act.get("output"):
        print(act["output"])
    if "code" in act or "output" in act:
        return int(act.get("code", 0))
    return kind(words) if program == "kind" else engine(words)


def kind(words: list[str]) -> int:
    clusters = HOME / "clusters"
    match words:
        case ["version"]:
            print("kind v0.31.0 go1.25.5 linux/amd64")
        case ["get", "clusters"]:
            print(clusters.read_text() if clusters.exists() else "No kind clusters found.")
        case ["create", "cluster", *options]:
            print('Creating cluster "lab" ...\n • Ensuring node image (node:v1) ...\n • Preparing nodes 📦 📦 📦  ...')
            (HOME / "loaded").unlink(missing_ok=True)  # new nodes
            LAB.mkdir(mode=0o700)
            shutil.copy(HOME / "ports.json", LAB)  # as kind-config.yaml says
            lab("up")
            shutil.copy(LAB / "kubeconfig", options[options.index("--kubeconfig") + 1])
            clusters.write_text("lab\n")
        case ["delete", "cluster", *_]:
            if LAB.exists():
                lab("down")
            clusters.unlink(missing_ok=True)
        case ["load", "image-archive", archive, *_]:
            name = Path(archive).read_text()
            with (HOME / "loaded").open("a") as loaded:
                loaded.write(name + "\n")
        case _:
            print("unknown command", words)
            return 1
    return 0


def engine(words: list[str]) -> int:
    loaded = (HOME / "loaded").read_text().split() if (HOME / "loaded").exists() else []
    match words:
        case ["info", *_]:
            print(json.dumps({"MemTotal": 8 << 30, "CgroupVersion": "2", "SecurityOptions": []}))
        case ["exec", _, "crictl", "images", *_]:
            print(json.dumps({"images": [{"repoTags": [name]} for name in loaded]}))
        case ["exec", _, "crictl", "pull", name]:
            with (HOME / "loaded").open("a") as file:
                file.write(name + "\n")
        case ["image", "inspect", name]:
            return 0 if (HOME / "pulled").exists() and name in (HOME / "pulled").read_text().split() else 1
        case ["pull", name]:
            with (HOME / "pulled").open("a") as file:
                file.write(name + "\n")
        case ["save", "-o", archive, name]:
            Path(archive).write_text(name)
        case ["start", *_]:
            pass
        case _:
            print("unknown command", words)
            return 1
    return 0


def lab(command: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LAB_")}
    environment |= {"LAB_STATE": str(LAB), "CLUSTER": "embedded", "PATH": os.environ["STAND_IN_PATH"]}
    subprocess.run([Path(sys.executable).parent / "lab", command], env=environment, check=True, stdout=sys.stderr)


sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
