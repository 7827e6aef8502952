"""The controllers of Jobs and CronJobs, and the clean-up of finished Jobs."""
