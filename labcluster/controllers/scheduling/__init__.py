"""default-scheduler: which node a pod runs on (pkg/scheduler)."""
