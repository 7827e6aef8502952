#!/bin/sh
# Said when an editor attaches: what this container can run, and what to type next.
cd "$(dirname "$0")/.." || exit
if .venv/bin/lab doctor; then
    echo
    echo "Type \`make lab\`: it starts the cluster and JupyterLab on port 8888."
else
    echo
    echo "This container lacks a privilege. Mend the above where the container is started (Codespaces grants it;"
    echo "elsewhere: --privileged, or --security-opt seccomp=unconfined for CLUSTER=embedded),"
    echo "or bring a cluster: \`make lab CLUSTER=current\` with its kubeconfig in KUBECONFIG."
fi
